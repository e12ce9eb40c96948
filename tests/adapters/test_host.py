"""Processes of the host themselves: what they are given, how they end and come back, and that nothing is left over."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime.engines import Engines
from runtime.host.engine import Host
from runtime.host.group import Group
from runtime.instance import AddressTaken, Check, Condition, EngineProblem, Mount, NotReady, Specification
from tests.adapters.engines import BRIDGE, FOREVER, IMAGE, RealEngine, specification
from tests.adapters.hosts import IMAGE as NO_IMAGE
from tests.adapters.hosts import both, real_host

DEAF = ("sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done")
SERVER = ("python3", "-m", "http.server", "8080", "--directory", "/srv")


@pytest.fixture
def host(real: RealEngine) -> Iterator[Host]:
    """Whatever a test does, in the end no process, group, interface or folder of it is there."""
    assert real.instances, "its bridge is ours too"
    with real_host("10.210.1.1") as engine:
        yield engine
        for found in asyncio.run(engine.all()):
            asyncio.run(engine.remove(found.id))
        assert list(engine.folder.iterdir()) == []
        assert [path for path in engine.groups.glob("*") if path.is_dir()] == []
        assert pairs() == []


def pairs() -> list[str]:
    told = subprocess.run(["ip", "-br", "link"], check=True, capture_output=True, text=True).stdout
    return [line for line in told.splitlines() if line.startswith("ph")]


async def started(host: Host, *command: str, **more: Any) -> str:
    wanted = specification(NO_IMAGE, *command, **{"survives": False, **more})
    await host.create(wanted, "op-1")
    await host.start(wanted.id)
    return wanted.id


async def says(host: Host, id: str, *argv: str) -> str:
    ended = await host.run(id, argv, 10)
    assert ended.code == 0, ended.output
    return ended.output.strip()


async def condition(host: Host, id: str) -> Condition:
    found = await host.look(id)
    assert found is not None
    return found


async def until(host: Host, id: str, holds: Callable[[Condition], bool]) -> Condition:
    async with asyncio.timeout(10):
        while not holds(found := await condition(host, id)):
            await asyncio.sleep(0.02)
    return found


def group(host: Host, id: str) -> Group:
    return Group(host.group(id))


def test_what_a_process_is_given(host: Host, tmp_path: Path) -> None:
    async def scenario() -> None:
        os.chown(tmp_path, 65534, 65534)
        host.hidden[0].parent.chmod(0o755)
        id = await started(
            host,
            env={"COLOUR": "blue"},
            user="65534:65534",
            workdir="/srv",
            mounts=(Mount(str(tmp_path), "/srv"),),
            search=("shop.ployz.internal",),
            shm=8 * 1024 * 1024,
        )
        told = await says(host, id, "sh", "-c", "echo $COLOUR $PLOYZ_SECRET; id -u; id -g; id -G; pwd; touch row")
        assert told.splitlines() == ["blue", "65534", "65534", "65534", "/srv"]
        assert (tmp_path / "row").stat().st_uid == 65534
        names = (await says(host, id, "cat", "/etc/resolv.conf")).splitlines()
        assert names == ["nameserver 10.210.1.1", "search shop.ployz.internal", "options ndots:2"]
        assert "8192" in await says(host, id, "df", "-k", "/dev/shm")
        assert not list(Path("/srv").iterdir()), "only the instance sees its volume there"
        hidden = await host.run(id, ("ls", "-A", str(host.hidden[0])), 10)
        assert (hidden.code, hidden.output) == (0, ""), "nobody sees where the machine keeps everything"

    asyncio.run(scenario())


def test_what_cannot_be_started_here_is_refused_before_anything_is_made(host: Host, tmp_path: Path) -> None:
    async def scenario() -> None:
        asked: list[tuple[dict[str, Any], str]] = [
            ({"user": "nobody-knows-her"}, "no user nobody-knows-her"),
            ({"mounts": (Mount(str(tmp_path), "/no/such/place"),)}, "mkdir -p /no/such/place"),
        ]
        for settings, why in asked:
            with pytest.raises(EngineProblem, match=why):
                await host.create(specification(NO_IMAGE, **settings), "op-1")
        assert await host.all() == []
        wanted = specification(NO_IMAGE, "frobnicate", "--now")
        await host.create(wanted, "op-1")
        with pytest.raises(EngineProblem, match="cannot run frobnicate: No such file"):
            await host.start(wanted.id)
        assert (await condition(host, wanted.id)).status == "created"

    asyncio.run(scenario())


def test_one_that_hears_nothing_is_ended_by_force_with_its_grandchildren(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, "sh", "-c", "setsid sh -c 'setsid sleep 1000 & sleep 1000' & " + DEAF[2])
        await until(host, id, lambda _: len(group(host, id).members()) >= 5)
        await host.stop(id, 0.3)
        assert group(host, id).members() == set()
        found = await condition(host, id)
        assert (found.status, found.last_exit) == ("stopped", 137)

    asyncio.run(scenario())


def test_nothing_outlives_the_first_process(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, "sh", "-c", "setsid sleep 1000 & exit 4")
        assert (await host.ended(id, 10)).code == 4
        await until(host, id, lambda _: not group(host, id).members())

    asyncio.run(scenario())


def test_one_that_listens_ends_with_its_own_code(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, "sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done")
        await until(host, id, lambda _: "up" in (host.folder / id / "log").read_text())
        await host.stop(id, 10)
        found = await condition(host, id)
        assert (found.status, found.last_exit, await host.tail(id, 5)) == ("stopped", 3, "up\nbye")

    asyncio.run(scenario())


def test_a_crash_is_survived_at_growing_pauses_and_counted(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, "sh", "-c", "echo crash; exit 6", survives=True)
        found = await until(host, id, lambda c: c.restarts >= 3)
        assert (found.status, found.last_exit) == ("restarting", 6)
        await host.stop(id, 1)
        found = await condition(host, id)
        assert (found.status, found.last_exit) == ("stopped", 6)

    asyncio.run(scenario())


def test_it_is_found_again_by_whoever_comes_next(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, survives=True)
        before = await condition(host, id)
        again = replace(host)
        again.adopt()
        assert await again.all() == [before]
        assert before.pid
        os.kill(before.pid, signal.SIGKILL)
        found = await until(again, id, lambda c: c.status == "running" and c.restarts == 1)
        assert found.pid != before.pid
        assert await says(again, id, "hostname", "-I") == f"{before.ip}"

    asyncio.run(scenario())


async def without_supervisor(host: Host) -> tuple[str, int | None]:
    """One of several processes, whose supervisor was killed; and the pid of its first one."""
    id = await started(host, "sh", "-c", "setsid sleep 1000 & wait")
    await until(host, id, lambda _: len(group(host, id).members()) >= 3)
    state = host._place(id).state()
    assert state
    os.kill(state.supervisor, signal.SIGKILL)
    return id, state.pid


def test_what_is_left_of_one_whose_supervisor_was_killed_is_told_and_ended(host: Host) -> None:
    async def scenario() -> None:
        id, first = await without_supervisor(host)
        found = await until(host, id, lambda c: c.pid != first)
        assert found.status == "running", "a process of it still runs: nobody else may start on its data"
        await host.stop(id, 1)
        found = await condition(host, id)
        assert (found.status, found.last_exit) == ("stopped", 137)
        await host.start(id)
        assert (await condition(host, id)).status == "running"

    asyncio.run(scenario())


STARTS = """
import asyncio, os, signal, sys
from pathlib import Path
from runtime.host import engine, starting, systemd
from runtime.network import Bridge
folder, groups, id, at = sys.argv[1:]
host = engine.Host(Path(folder), Bridge("10.210.1.0/24", "10.210.1.1", 1420), Path(groups), systemd=systemd.is_init())
part, name = (starting.Start, at) if hasattr(starting.Start, at) else (engine.Pair, at)
whole = getattr(part, name)
async def cut(self, *words, **more):
    await whole(self, *words, **more)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(part, name, cut)
asyncio.run(host.start(id))
"""


@pytest.mark.parametrize("at", ["_launch", "join", "_prepare"])
def test_a_daemon_that_is_killed_in_the_middle_of_a_start_leaves_nothing_running(host: Host, at: str) -> None:
    async def scenario() -> None:
        wanted = specification(NO_IMAGE, "sh", "-c", "echo began; sleep 1000")
        await host.create(wanted, "op-1")
        words = (sys.executable, "-c", STARTS, str(host.folder), str(host.groups), wanted.id, at)
        ended = await asyncio.to_thread(subprocess.run, words, check=False, timeout=30)
        assert ended.returncode == -signal.SIGKILL
        assert (await condition(host, wanted.id)).status == "created"
        if at != "_launch":  # a supervisor that was never spoken to waits for a while, and then ends
            await until(host, wanted.id, lambda _: not group(host, wanted.id).members())
        assert await host.tail(wanted.id, 5) == "", "it was never told to go"
        await host.start(wanted.id)
        assert (await condition(host, wanted.id)).status == "running"
        await until(host, wanted.id, lambda _: "began" in (host.folder / wanted.id / "log").read_text())

    asyncio.run(scenario())


def test_addresses_reach_containers_and_the_machine_and_the_other_way_round(real: RealEngine, host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, *SERVER)
        await host.ready(id, Check(http="/", port=8080, every=0.05, timeout=10))
        with pytest.raises(NotReady, match="404"):
            await host.ready(id, Check(http="/missing", port=8080, every=0.05, timeout=0.5))
        served = specification(
            await real.instances.resolve(IMAGE), "sh", "-c", "echo hi > /tmp/index.html; httpd -f -p 80 -h /tmp"
        )
        await real.instances.create(served, "op-1")
        await real.instances.start(served.id)
        await real.instances.ready(served.id, Check(tcp=80, every=0.05, timeout=5))
        ask = f"from urllib.request import urlopen; print(urlopen('http://{served.ip}/').read().decode())"
        assert await says(host, id, "python3", "-c", ask) == "hi"
        here = (await condition(host, id)).ip
        asked = await real.instances.run(served.id, ("sh", "-c", f"nc -w 2 {here} 8080 < /dev/null && echo met"), 10)
        assert "met" in asked.output
        await real.instances.remove(served.id)
        await host.stop(id, 5)
        await host.start(id)
        await host.ready(id, Check(http="/", port=8080, every=0.05, timeout=3))

    asyncio.run(scenario())


class Crowded(Host):
    """Whenever it starts an instance, somebody does something at that very moment."""

    meanwhile: Callable[[], object]

    async def start(self, id: str) -> None:
        type(self).meanwhile()
        await super().start(id)


def squat(real: RealEngine, ip: str) -> str:
    """Somebody else's container at an address; its name."""
    name = f"squatter-{ip.rpartition('.')[2]}"
    network = real.raw.create_networking_config({BRIDGE.name: real.raw.create_endpoint_config(ipv4_address=ip)})
    made = real.raw.create_container(IMAGE, [*FOREVER], name=name, networking_config=network)
    real.raw.start(made["Id"])
    return name


def test_a_strangers_container_at_the_address_of_a_process_is_told(real: RealEngine, host: Host) -> None:
    async def story(engines: Engines, wanted: Specification, *, before: bool) -> None:
        await engines.create(wanted, "op-1")
        squatter = squat(real, wanted.ip or "") if before else f"squatter-{(wanted.ip or '').rpartition('.')[2]}"
        with pytest.raises(AddressTaken, match=f"{squatter} has its address {wanted.ip}"):
            await engines.start(wanted.id)
        await engines.take_back(wanted.id, "op-1")
        assert (await engines.look(wanted.id), real.raw.inspect_container(squatter)["State"]["Running"]) == (None, True)
        real.raw.remove_container(squatter, force=True)

    asyncio.run(story(both(real.instances, host), specification(NO_IMAGE), before=True))
    wanted = specification(NO_IMAGE)
    crowded = Crowded(**vars(host))
    Crowded.meanwhile = lambda: squat(real, wanted.ip or "")
    asyncio.run(story(both(real.instances, crowded), wanted, before=False))


def test_a_process_at_the_address_of_a_container_is_told(real: RealEngine, host: Host) -> None:
    engines = both(real.instances, host)

    async def story() -> None:
        there = await started(host)
        found = await host.look(there)
        assert found
        wanted = specification(IMAGE, ip=found.ip or "")
        await engines.create(wanted, "op-2")
        with pytest.raises(AddressTaken, match=f"{there} has its address {found.ip}"):
            await engines.start(wanted.id)
        made = await engines.look(wanted.id)
        assert made
        assert made.status == "created"
        await engines.take_back(wanted.id, "op-2")
        assert (await engines.look(there), await engines.look(wanted.id)) == (found, None)

    asyncio.run(story())
