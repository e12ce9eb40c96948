"""Docker itself: what an instance may do and use, its files, and what becomes of one that takes too much."""

import asyncio
from pathlib import Path
from typing import Any

from runtime.instance import Bounds, Specification
from tests.adapters.engines import IMAGE, RealEngine, specification

MEMORY = 32 * 2**20


async def made(real: RealEngine, *command: str, **more: Any) -> Specification:
    wanted = specification(await real.instances.resolve(IMAGE), *command, **more)
    await real.instances.create(wanted, "op-1")
    return wanted


async def started(real: RealEngine, *command: str, **more: Any) -> str:
    wanted = await made(real, *command, **more)
    await real.instances.start(wanted.id)
    return wanted.id


async def says(real: RealEngine, id: str, script: str) -> str:
    ended = await real.instances.run(id, ("sh", "-c", script), 10)
    return ended.output.strip()


def test_each_setting_is_felt_inside(real: RealEngine) -> None:
    async def scenario() -> None:
        bounds = Bounds(
            ulimits={"nofile": (1000, 2000)},
            devices=("/dev/fuse",),
            cap_add=("NET_ADMIN",),
            read_only=True,
            log=2**20,
            cpus=0.5,
            memory=MEMORY,
        )
        id = await started(real, bounds=bounds, shm=2**20)
        assert await says(real, id, "ulimit -Sn; ulimit -Hn") == "1000\n2000"
        assert await says(real, id, "cat < /dev/fuse || echo no") != "", "it can be opened, and says what it wants"
        assert "Read-only" in await says(real, id, "touch /x 2>&1")
        capabilities = int((await says(real, id, "cat /proc/self/status")).partition("CapEff:")[2].split()[0], 16)
        assert capabilities & 1 << 12, "NET_ADMIN"
        assert "size=1024k" in await says(real, id, "cat /proc/mounts")
        assert limits(real, id) == (MEMORY, 0.5)

    asyncio.run(scenario())


def limits(real: RealEngine, id: str) -> tuple[int, float]:
    """Bytes and processors, as the kernel holds them: control groups of version 1 or 2."""
    pid = real.raw.inspect_container(id)["State"]["Pid"]
    groups = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    places = {kind: path for _, kinds, path in groups for kind in kinds.split(",")}
    if Path("/sys/fs/cgroup/memory").exists():
        memory = Path(f"/sys/fs/cgroup/memory{places['memory']}/memory.limit_in_bytes").read_text()
        cpu = Path(f"/sys/fs/cgroup/cpu{places['cpu']}")
        quota, period = ((cpu / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
    else:
        folder = Path(f"/sys/fs/cgroup{places['']}")
        memory, (quota, period) = (folder / "memory.max").read_text(), (folder / "cpu.max").read_text().split()
    return int(memory), int(quota) / int(period)


def test_without_settings_it_has_none_of_it(real: RealEngine) -> None:
    async def scenario() -> None:
        id = await started(real)
        assert await says(real, id, "ls /dev/fuse 2>/dev/null; touch /x && echo written") == "written"
        assert real.raw.inspect_container(id)["HostConfig"]["Memory"] == 0

    asyncio.run(scenario())


def test_it_finds_its_files_and_can_change_none(real: RealEngine) -> None:
    async def scenario() -> None:
        files = {"/etc/app/x.conf": b"one\n", "/run/y.bin": b"\xff\0", "/etc/z": b"one\n"}
        id = await started(real, files=files, user="999:999", bounds=Bounds(read_only=True))
        assert await says(real, id, "cat /etc/app/x.conf /etc/z") == "one\none"
        as_root = await started(real, files=files)
        assert "Read-only" in await says(real, as_root, "echo no 2>&1 > /etc/z || true")
        assert await says(real, as_root, "cat /etc/z") == "one"
        folder = real.place.folder / "files"
        assert len(list(folder.iterdir())) == 2
        await real.instances.take_back(id, "op-2")
        assert len(list(folder.iterdir())) == 2, "not theirs"
        await real.instances.take_back(id, "op-1")
        await real.instances.remove(as_root)
        assert list(folder.iterdir()) == []

    asyncio.run(scenario())


def test_files_that_were_lost_are_brought_back_for_the_next_start(real: RealEngine) -> None:
    async def scenario() -> None:
        wanted = await made(real, files={"/etc/x": b"one\n"})
        real.instances.files.remove(wanted.id)
        await real.instances.restore_files(wanted.id, "op-1", wanted.files)
        await real.instances.start(wanted.id)
        assert await says(real, wanted.id, "cat /etc/x") == "one"
        await real.instances.remove(wanted.id)

    asyncio.run(scenario())


def test_files_of_an_instance_that_was_never_made_are_taken_back(real: RealEngine) -> None:
    async def scenario() -> None:
        real.instances.files.put("never", "op-1", {"/x": b"1"})
        await real.instances.take_back("never", "op-1")
        assert not list((real.place.folder / "files").glob("never*"))

    asyncio.run(scenario())
