"""Instances that stand still: all of them, for as long as their daemon lives, and never a moment longer."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.engines import Engines
from runtime.instance import EngineProblem
from runtime.standstill import Standstills
from tests.adapters.engines import BRIDGE, IMAGE, RealEngine, real_engine, specification
from tests.adapters.hosts import IMAGE as NO_IMAGE
from tests.adapters.hosts import Host, both, real_host

HOUSE = Path(__file__).parents[2]
DAEMON = """
import asyncio, json, sys
from pathlib import Path
from runtime.docker import Docker
from runtime.engines import Engines
from runtime.host.engine import Host
from runtime.network import Bridge
from runtime.standstill import Standstills

told = json.loads(sys.argv[1])
docker = Docker(Path(told["socket"]), told["network"], files=Path(told["files"]))
host = Host(Path(told["host"]), Bridge("10.210.1.0/24", "10.210.1.1", 1420), Path(told["groups"]))
engines = Engines(docker, host, Standstills(Path(told["log"])))

async def main():
    await engines.pause(told["ids"], "op-1")
    print("paused", flush=True)
    if told["well"]:
        await engines.go_on(told["ids"], "op-1")
        print("went on", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
"""A daemon that lets instances stand still, and lives on until it is killed."""
WITHIN = 20.0


@pytest.fixture(scope="module")
def real() -> Iterator[RealEngine]:
    with real_engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def host(real: RealEngine) -> Iterator[Host]:
    assert real.instances, "its bridge is ours too"
    with real_host() as engine:
        yield engine


@pytest.fixture
def engines(real: RealEngine, host: Host) -> Engines:
    return both(real.instances, host)


@pytest.fixture
def writers(engines: Engines) -> Iterator[list[str]]:
    """A container, and a process of the host."""

    async def made() -> list[str]:
        image = await engines.resolve(IMAGE)
        wanted = [specification(image, "sleep", "1000"), specification(NO_IMAGE, "sleep", "1000")]
        for one in wanted:
            await engines.create(one, "op-0")
            await engines.start(one.id)
        return [one.id for one in wanted]

    ids = asyncio.run(made())
    yield ids
    for id in ids:
        asyncio.run(engines.remove(id))


def standing_still(real: RealEngine, host: Host, ids: list[str]) -> list[bool]:
    """Of each, whether it does: as the engine says, and as the kernel says of each process."""
    container, process = ids
    states = [re.search(r"State:\s+(\w)", Path(f"/proc/{pid}/status").read_text()) for pid in _members(host, process)]
    assert states
    return [real.raw.inspect_container(container)["State"]["Paused"], {state[1] for state in states if state} == {"T"}]


def _members(host: Host, id: str) -> list[str]:
    return [pid for file in host.group(id).rglob("cgroup.procs") for pid in file.read_text().split()]


@contextmanager
def daemon(real: RealEngine, host: Host, ids: list[str], log: Path, *, well: bool) -> Iterator[subprocess.Popen[str]]:
    """One that has let them stand still; where all is `well`, it has let them go on too."""
    told = {
        "socket": str(real.place.socket),
        "network": BRIDGE.name,
        "files": str(real.place.folder / "files"),
        "host": str(host.folder),
        "groups": str(host.groups),
        "log": str(log),
        "ids": ids,
        "well": well,
    }
    words = (sys.executable, "-c", DAEMON, json.dumps(told))
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(HOUSE)}
    ) as one:
        assert one.stdout
        try:
            assert one.stdout.readline() == "paused\n"
            assert not well or one.stdout.readline() == "went on\n"
            yield one
        finally:
            one.kill()


def watchers() -> set[str]:
    """The pids of the programs that watch a daemon."""
    found = set()
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and b"/thaw.py" in (folder / "cmdline").read_bytes():
                found.add(folder.name)
        except OSError:
            continue  # it ended while we looked
    return found


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_they_stand_still_and_go_on(engines: Engines, real: RealEngine, host: Host, writers: list[str]) -> None:
    async def scenario() -> None:
        await engines.pause(writers, "op-1")
        await engines.pause(writers, "op-1")
        assert standing_still(real, host, writers) == [True, True]
        assert len(watchers()) == 1
        await engines.go_on(writers, "op-1")
        await engines.go_on(writers, "op-1")
        assert standing_still(real, host, writers) == [False, False]

    asyncio.run(scenario())
    wait_until(lambda: not watchers())


def test_they_go_on_when_their_daemon_is_killed(
    real: RealEngine, host: Host, writers: list[str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with daemon(real, host, writers, log, well=False) as one:
        assert standing_still(real, host, writers) == [True, True]
        for pid in watchers():
            os.kill(int(pid), signal.SIGTERM)  # as an init system does to all that is left of a service
        assert standing_still(real, host, writers) == [True, True]
        one.kill()
        wait_until(lambda: standing_still(real, host, writers) == [False, False])
    wait_until(lambda: not watchers())
    assert log.read_text() == ""


def test_what_went_on_is_left_alone_by_whoever_watched(
    engines: Engines, real: RealEngine, host: Host, writers: list[str], tmp_path: Path
) -> None:
    with daemon(real, host, writers, tmp_path / "log", well=True) as one:
        wait_until(lambda: not watchers())
        asyncio.run(engines.pause(writers, "op-2"))
        one.kill()
        one.wait()
        assert standing_still(real, host, writers) == [True, True]
        asyncio.run(engines.go_on(writers, "op-2"))


def test_one_operation_does_not_end_the_standstill_of_another(
    engines: Engines, real: RealEngine, host: Host, writers: list[str]
) -> None:
    async def scenario() -> None:
        await engines.pause(writers, "op-1")
        second = asyncio.create_task(engines.pause(writers[:1], "op-2"))
        third = asyncio.create_task(engines.go_on(writers, "op-3"))
        await third
        assert standing_still(real, host, writers) == [True, True]
        assert not second.done()
        await engines.go_on(writers, "op-1")
        await second
        assert standing_still(real, host, writers) == [True, False]
        await engines.go_on(writers[:1], "op-2")
        assert standing_still(real, host, writers) == [False, False]

    asyncio.run(scenario())


def test_nothing_stands_still_that_nobody_watches(
    real: RealEngine, host: Host, writers: list[str], tmp_path: Path
) -> None:
    unwatched = Engines(real.instances, host, Standstills(tmp_path / "missing" / "log"))
    with pytest.raises(EngineProblem, match="cannot have it watched"):
        asyncio.run(unwatched.pause(writers, "op-1"))
    assert standing_still(real, host, writers) == [False, False]
    asyncio.run(unwatched.go_on(writers, "op-1"))
