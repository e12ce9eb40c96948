"""Processes of the host: what one may do and use, its files, and what becomes of one that takes too much."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.host.engine import Host
from runtime.host.group import Group
from runtime.instance import Bounds, EngineProblem, Mount
from tests.adapters.bridge import machine
from tests.adapters.engines import specification
from tests.adapters.hosts import IMAGE, real_host

MEMORY = 32 * 2**20
HOG = "x = bytearray()\nwhile True: x += bytes(1 << 20)"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with machine(), real_host() as engine:
        yield engine


async def started(host: Host, *command: str, **more: Any) -> str:
    wanted = specification(IMAGE, *command, **{"survives": False, **more})
    await host.create(wanted, "op-1")
    await host.start(wanted.id)
    return wanted.id


async def says(host: Host, id: str, script: str) -> str:
    ended = await host.run(id, ("sh", "-c", script), 10)
    return ended.output.strip()


def limits(pid: int) -> tuple[int, float]:
    """Bytes and processors, as the kernel holds them for a process: control groups of version 1 or 2."""
    rows = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    places = {kind: path for _, kinds, path in rows for kind in kinds.split(",")}
    root = Path("/sys/fs/cgroup")
    if "memory" in places:
        cpu, memory = root / f"cpu{places['cpu']}", root / f"memory{places['memory']}/memory.limit_in_bytes"
        quota, period = ((cpu / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
    else:
        memory = root / f"{places['']}/memory.max"
        quota, period = (root / f"{places['']}/cpu.max").read_text().split()
    return int(memory.read_text()), int(quota) / int(period)


def test_each_setting_is_felt_inside(host: Host) -> None:
    async def scenario() -> None:
        bounds = Bounds(
            ulimits={"nofile": (1000, 2000), "core": (0, -1)},
            cap_add=("NET_BIND_SERVICE", "BPF"),
            log=2**20,
            cpus=0.5,
            memory=MEMORY,
        )
        id = await started(host, bounds=bounds, user="65534:65534", shm=2**20)
        assert await says(host, id, "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc") == "1000\n2000\n0\nunlimited"
        assert "size=1024k" in await says(host, id, "cat /proc/mounts")
        found = await host.look(id)
        assert found
        assert found.pid
        told = Path(f"/proc/{found.pid}/status").read_text()
        for kind in ("CapEff", "CapPrm", "CapAmb"):
            assert int(told.partition(f"{kind}:")[2].split()[0], 16) == 1 << 10 | 1 << 39, kind
        assert told.partition("Uid:")[2].split()[:4] == ["65534"] * 4
        assert limits(found.pid) == (MEMORY, 0.5)
        listens = "import socket; socket.create_server(('', 80)); print('listens')"
        assert (await host.run(id, ("python3", "-c", listens), 10)).output == "listens\n"
        await host.remove(id)
        names = [path for path in Path("/sys/fs/cgroup").glob("*/*/*") if path.name == id]
        assert names == [], "no group of it is left"

    asyncio.run(scenario())


def test_without_settings_it_has_none_of_it(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, user="65534:65534")
        assert "CapEff:\t0000000000000000" in await says(host, id, "cat /proc/self/status")
        assert [path for path in Path("/sys/fs/cgroup/memory").glob("*/*") if path.name == id] == []

    asyncio.run(scenario())


def test_a_root_that_is_read_only(host: Host, tmp_path: Path) -> None:
    async def scenario() -> None:
        inside = tmp_path / "inside"
        inside.mkdir()
        target = "/srv"
        wanted = {"bounds": Bounds(read_only=True), "mounts": (Mount(str(inside), target),)}
        id = await started(host, "sh", "-c", "echo up; sleep 1000", **wanted)
        for path in ("/etc/x", str(tmp_path / "x"), "/run/x"):
            assert "Read-only" in await says(host, id, f"touch {path} 2>&1"), path
        written = await says(host, id, "touch /srv/row /dev/shm/x && echo 1 > /dev/null && echo written")
        assert written == "written"
        assert (inside / "row").exists()
        assert await host.tail(id, 1) == "up", "its log goes on"
        (tmp_path / "x").touch()
        await host.stop(id, 5)
        await host.start(id)
        assert "Read-only" in await says(host, id, "touch /etc/x 2>&1")

    asyncio.run(scenario())


def test_one_that_takes_more_memory_than_it_may_is_killed_and_that_is_told(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, "python3", "-c", HOG, bounds=Bounds(memory=MEMORY))
        assert (await host.ended(id, 30)).code == 137
        found = await host.look(id)
        assert found
        assert (found.last_exit, found.out_of_memory) == (137, True)
        plain = await started(host, "sh", "-c", "exit 137", bounds=Bounds(memory=MEMORY))
        await host.ended(plain, 10)
        found = await host.look(plain)
        assert found
        assert (found.last_exit, found.out_of_memory) == (137, False)
        entered = await started(host, bounds=Bounds(memory=MEMORY))
        assert (await host.run(entered, ("python3", "-c", HOG), 30)).code == 137, "a command in it counts too"

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_it_finds_its_files_and_can_change_none(host: Host, tmp_path: Path) -> None:
    async def scenario() -> None:
        there = tmp_path / "app.conf"
        with pytest.raises(EngineProblem, match=f"touch {there}"):
            await host.create(specification(IMAGE, files={str(there): b"one\n"}), "op-1")
        there.write_bytes(b"the machine's own")
        tmp_path.chmod(0o755)
        for parent in tmp_path.parents:
            parent.chmod(parent.stat().st_mode | 0o055)
        files = {str(there): b"\xff\0one\n"}
        id = await started(host, "sh", "-c", f"cat {there}", files=files, user="65534:65534")
        await host.ended(id, 10)
        assert [said async for _, _, said in host.logs(id)] == [b"\xff\0one"]
        as_root = await started(host, files=files)
        assert "Read-only" in await says(host, as_root, f"echo no 2>&1 > {there} || true")
        assert there.read_bytes() == b"the machine's own"

    asyncio.run(scenario())


def test_a_log_has_a_bound(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, "sh", "-c", "seq 1 40000", bounds=Bounds(log=200_000))
        await host.ended(id, 20)
        sizes = [file.stat().st_size for file in (host.folder / id).glob("log*")]
        assert len(sizes) == 2
        assert max(sizes) <= 100_000
        assert await host.tail(id, 1) == "40000"

    asyncio.run(scenario())


def test_the_kernel_says_what_it_cannot(host: Host) -> None:
    async def scenario() -> None:
        wanted = specification(IMAGE, bounds=Bounds(ulimits={"nofile": (2**40, 2**40)}))
        await host.create(wanted, "op-1")
        with pytest.raises(EngineProblem, match="cannot limit"):
            await host.start(wanted.id)
        assert Group(host.groups / wanted.id).members() == set(), "nothing of it runs"

    asyncio.run(scenario())
