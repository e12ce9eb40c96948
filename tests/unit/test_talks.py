"""Logs and commands of another machine, over connections of this one to itself."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from daemon.executing import execute
from daemon.logs import Reading
from daemon.peers.instances import EngineThere, Talks
from daemon.peers.streams import StreamsThere
from daemon.peers.talk import LENGTH, Talk
from daemon.peers.talking import Talking
from daemon.records import Machine
from daemon.wire import Event, Exec, Input, Output, Refused
from dataplane.dataset import Layout, StreamProblem, ZfsProblem
from runtime.instance import EngineUnavailable
from tests.fakes.engine import FakeEngine
from tests.fakes.seen import AT, SeenEngine, condition


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class SeenData:
    """Two pieces of each dataset; of `broken` the second never comes."""

    async def pieces(self, dataset: str, *, packed: bool) -> AsyncGenerator[bytes, None]:
        yield f"{dataset} packed={packed}".encode()
        if dataset == "broken":
            raise ZfsProblem("the disk is gone")
        yield os.urandom(1_000_000)


class Two:
    """m2 has the engine, and m1 talks with it."""

    def __init__(self) -> None:
        self.engine, self.port = SeenEngine(condition("web-1")), free_port()
        self.machines = {"m2": Machine("2", "m2", "127.0.0.0/24", "127.0.0.1", AT, "1")}
        self.data = SeenData()
        self.talking = Talking(self.engine, self.data, lambda: self.machines, self.port)
        self.talks = Talks(lambda: self.machines, self.port)
        self.there = EngineThere("m2", FakeEngine(), self.talks)
        self.said: list[tuple[str, bytes]] = []

    async def emit(self, line: Event | Output) -> None:
        assert isinstance(line, Output)
        self.said.append((line.stream, line.data))


def scenario(test: Callable[[Two], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(20):
            two = Two()
            await two.talking.open("127.0.0.1")
            await test(two)
            await two.talking.close()
            assert not any(two.talks.open.values())

    asyncio.run(whole())


async def typed(*lines: Input) -> AsyncIterator[Input]:
    for line in lines:
        yield line


async def until(holds: Callable[[], object]) -> None:
    while not holds():
        await asyncio.sleep(0.005)


def test_a_command_is_talked_to_as_if_it_were_here() -> None:
    async def test(two: Two) -> None:
        request = Exec("shop", "web", ["sh"], interactive=True, tty=True, rows=30, columns=90)
        inputs = typed(Input(b"one"), Input(rows=50, columns=100), Input(b"two", end=True))
        assert await execute(two.there, "web-1", request, inputs, two.emit) == 7
        assert two.said == [("stdout", b"ONE"), ("stderr", b"50x100"), ("stdout", b"TWO"), ("stderr", b"end")]
        [(*opened, session)] = two.engine.sessions
        assert opened == ["web-1", ["sh"], True, 30, 90]
        await until(lambda: session.closed)

    scenario(test)


def test_what_a_command_writes_arrives_whole_however_much_it_is() -> None:
    async def test(two: Two) -> None:
        much = [bytes([97 + at % 26]) * 500_000 for at in range(20)]
        inputs = typed(*(Input(piece) for piece in much), Input(end=True))
        await execute(two.there, "web-1", Exec("shop", "web", ["cat"], interactive=True), inputs, two.emit)
        assert [data for stream, data in two.said if stream == "stdout"] == [piece.upper() for piece in much]

    scenario(test)


def test_a_command_ends_with_whoever_asked_for_it() -> None:
    async def test(two: Two) -> None:
        waiting = asyncio.Event()

        async def forever() -> AsyncIterator[Input]:
            yield Input(b"one")
            await waiting.wait()

        request = Exec("shop", "web", ["sh"], interactive=True)
        task = asyncio.create_task(execute(two.there, "web-1", request, forever(), two.emit))
        await until(lambda: two.said)
        task.cancel()
        [(*_, session)] = two.engine.sessions
        await until(lambda: session.closed)

    scenario(test)


def test_logs_are_read_and_followed_there_until_nobody_listens() -> None:
    async def test(two: Two) -> None:
        two.engine.lines["web-1"] = [("stdout", f"2030-01-01T00:00:0{at}.0Z", b"%d" % at) for at in range(5)]
        assert [line async for line in two.there.logs("web-1", tail=2)] == two.engine.lines["web-1"][3:]
        reading = Reading({"web-1": two.there})
        task = asyncio.create_task(reading.future(two.emit))
        await two.engine.followed_by(1)
        await two.engine.write("web-1", "2030-01-01T00:00:09.0Z", b"more")
        await until(lambda: two.said[-1:] == [("stdout", b"more")])
        task.cancel()
        await until(lambda: two.engine.readers == 0)

    scenario(test)


def test_what_fails_there_fails_here_and_says_where() -> None:
    async def test(two: Two) -> None:
        async def broken(*_: object, **__: object) -> None:
            raise EngineUnavailable("no answer")

        two.engine.open_exec = broken  # type: ignore[method-assign, assignment]
        with pytest.raises(EngineUnavailable, match="on m2: no answer"):
            await execute(two.there, "web-1", Exec("shop", "web", ["ls"]), typed(), two.emit)

    scenario(test)


def test_a_machine_that_is_not_there_or_goes_away_is_called_so() -> None:
    async def test(two: Two) -> None:
        reading = Reading({"web-1": two.there})
        task = asyncio.create_task(reading.future(two.emit))
        await two.engine.followed_by(1)
        two.talks.cut("m2")
        await task
        assert "web-1" in reading.lost
        with pytest.raises(Refused) as refused:
            await Talks(lambda: two.machines, free_port()).begin("m2", None)  # type: ignore[arg-type]
        assert refused.value.code == "machine.unreachable"
        with pytest.raises(Refused, match="cannot talk with m9"):
            await two.talks.begin("m9", None)  # type: ignore[arg-type]

    scenario(test)


@pytest.mark.parametrize("said", [b"\x00\x00\x00\x02[]", b"\xff\xff\xff\xff", b"\x00\x00", b""])
def test_who_talks_nonsense_is_hung_up_on(said: bytes) -> None:
    async def test(two: Two) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", two.port)
        writer.write(said)
        if len(said) <= LENGTH:
            writer.write_eof()
        assert await _rest(reader) == b""
        writer.close()

    scenario(test)


def test_nobody_else_than_a_machine_is_answered() -> None:
    async def test(two: Two) -> None:
        two.machines = {"m2": Machine("2", "m2", "10.210.2.0/24", "10.210.2.1", AT, "1")}
        talk = Talk(*await asyncio.open_connection("127.0.0.1", two.port))
        with pytest.raises(OSError):
            await talk.hear(Input)
        talk.close()
        assert two.engine.sessions == []

    scenario(test)


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def passed_on(
    two: Two, send: Callable[[StreamsThere], Coroutine[Any, Any, None]], *, reads: bool = True
) -> bytes:
    """What the client of an operation gets of another machine's data."""
    ours, client = socket.socketpair()

    @asynccontextmanager
    async def met(operation: str) -> AsyncIterator[socket.socket]:
        assert operation == "op-1"
        with ours:
            yield ours

    reading = asyncio.create_task(asyncio.to_thread(read_all, client)) if reads else None
    if not reads:
        client.close()
    try:
        await send(StreamsThere("m2", two.talks, met))
    finally:
        ours.close()
        got = await reading if reading else b""
        client.close()
    return got


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def test_data_of_another_machine_goes_through_the_one_that_is_asked() -> None:
    async def test(two: Two) -> None:
        sent = await passed_on(two, lambda there: there.send("tank/a@op-1", "op-1"))
        assert (sent.startswith(b"tank/a@op-1 packed=False"), len(sent)) == (True, 1_000_024)
        packed = await passed_on(two, lambda there: there.pack("tank/a", "op-1"))
        assert packed.startswith(b"tank/a packed=True")

    scenario(test)


def test_data_that_breaks_off_there_is_no_data_here() -> None:
    async def test(two: Two) -> None:
        with pytest.raises(ZfsProblem, match="on m2: the disk is gone"):
            await passed_on(two, lambda there: there.send("broken", "op-1"))
        with pytest.raises(StreamProblem, match="whoever asked went away"):
            await passed_on(two, lambda there: there.send("tank/a@op-1", "op-1"), reads=False)
        with pytest.raises(StreamProblem, match="nothing is received on m2"):
            await passed_on(two, lambda there: there.receive("tank/a", "op-1", {}, Layout()))
        two.machines.clear()
        with pytest.raises(Refused) as refused:
            await passed_on(two, lambda there: there.send("tank/a@op-1", "op-1"))
        assert refused.value.code == "machine.unreachable"

    scenario(test)
