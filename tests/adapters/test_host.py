"""Processes of the host themselves: what they are given, how they end and come back, and that nothing is left over."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from runtime.host.engine import Host
from runtime.host.group import Group
from runtime.instance import Check, Condition, EngineProblem, Mount, NotReady
from tests.adapters.engines import IMAGE, RealEngine, real_engine, specification
from tests.adapters.hosts import IMAGE as NO_IMAGE
from tests.adapters.hosts import real_host

DEAF = ("sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done")
SERVER = ("python3", "-m", "http.server", "8080", "--directory", "/srv")


@pytest.fixture(scope="module")
def real() -> Iterator[RealEngine]:
    with real_engine() as engine:
        yield engine


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
    return Group(host.groups / id)


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
        again = Host(host.folder, host.bridge, host.groups, host.dns, host.hidden)
        again.adopt()
        assert await again.all() == [before]
        assert before.pid
        os.kill(before.pid, signal.SIGKILL)
        found = await until(again, id, lambda c: c.status == "running" and c.restarts == 1)
        assert found.pid != before.pid
        assert await says(again, id, "hostname", "-I") == f"{before.ip}"

    asyncio.run(scenario())


def test_what_is_left_of_one_whose_supervisor_was_killed_is_told_and_ended(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, "sh", "-c", "setsid sleep 1000 & wait")
        await until(host, id, lambda _: len(group(host, id).members()) >= 3)
        state = host._place(id).state()
        assert state
        os.kill(state.supervisor, signal.SIGKILL)
        found = await until(host, id, lambda c: c.pid != state.pid)
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
from runtime.host import engine, starting
from runtime.network import Bridge
folder, groups, id, at = sys.argv[1:]
host = engine.Host(Path(folder), Bridge("10.210.1.0/24", "10.210.1.1", 1420), Path(groups))
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


def test_draining(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, *SERVER)
        await host.ready(id, Check(tcp=8080, every=0.05, timeout=10))
        ip = (await condition(host, id)).ip
        _, writer = await asyncio.open_connection(ip, 8080)
        waiting = asyncio.create_task(host.drained(id, [8080], 10))
        await asyncio.wait({waiting}, timeout=0.3)
        assert not waiting.done()
        writer.close()
        await asyncio.wait_for(waiting, 5)

    asyncio.run(scenario())


def test_logs(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, "sh", "-c", "echo one; echo two >&2; seq -s, 1 9000; printf end")
        await host.ended(id, 10)
        lines = [line async for line in host.logs(id)]
        assert {(stream, said) for stream, _, said in lines} >= {
            ("stdout", b"one"), ("stderr", b"two"), ("stdout", b"end")
        }  # fmt: skip
        assert max(len(said) for _, _, said in lines) > 40_000, "a long line comes in one piece"
        assert {len(at) for _, at, _ in lines} == {30}
        assert len([line async for line in host.logs(id, tail=1)]) == 1
        assert not [line async for line in host.logs(id, since=4_000_000_000.0)]
        with pytest.raises(EngineProblem):
            await anext(host.logs("nobody"))

    asyncio.run(scenario())


def test_logs_are_followed_until_the_end(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, "sh", "-c", "echo one; trap 'echo last; exit' TERM; while :; do sleep 0.05; done")
        async with aclosing(host.logs(id, follow=True)) as lines:
            assert (await anext(lines))[2] == b"one"
            await host.stop(id, 5)
            assert [said async for _, _, said in lines] == [b"last"]

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_talking_to_a_command(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host)
        session = await host.open_exec(id, ["sh", "-c", "cat; echo bad >&2; exit 7"])
        await session.write(b"hello there\n")
        await session.end()
        said = [piece async for piece in session]
        assert b"".join(data for stream, data in said if stream == "stdout") == b"hello there\n"
        assert b"".join(data for stream, data in said if stream == "stderr") == b"bad\n"
        assert await session.code() == 7
        await session.close()
        ended = await host.run(id, ["frobnicate"], 10)
        assert (ended.code, "frobnicate" in ended.output) == (127, True)

    asyncio.run(scenario())


def test_talking_through_a_terminal(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host)
        session = await host.open_exec(id, ["sh"], tty=True, rows=30, columns=100)
        await session.resize(40, 120)
        await session.write(b"stty size; exit 3\n")
        said = b"".join([data async for _, data in session])
        assert b"40 120" in said
        assert await session.code() == 3
        await session.close()

    asyncio.run(scenario())


def test_hanging_up_ends_the_command(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host)
        session = await host.open_exec(id, ["sh", "-c", "echo begun; sleep 77"], tty=True)
        async with aclosing(aiter(session)) as pieces:
            assert b"begun" in (await anext(pieces))[1]
        await session.close()
        await until(host, id, lambda _: len(group(host, id).members()) == 2)

    asyncio.run(asyncio.wait_for(scenario(), 10))
