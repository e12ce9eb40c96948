"""Readiness, decided on an engine that only tells: when it waits, when it gives up, and what it says then."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from runtime.health import wait_until_ready
from runtime.instance import Check, Condition, Ended, EngineProblem, EngineUnavailable, NotReady

RUNNING = Condition("web", "running", {}, "127.0.0.1", "sha256:1", "sha256:1")
ENDED = Condition("web", "stopped", {}, None, "sha256:1", "sha256:1", last_exit=3)
RESTARTED = Condition("web", "running", {}, "127.0.0.1", "sha256:1", "sha256:1", restarts=1)
BETWEEN = Condition("web", "restarting", {}, None, "sha256:1", "sha256:1", restarts=1, last_exit=3)


@dataclass
class Telling:
    """`looks` and `codes` are told one after the other, the last one for ever."""

    looks: list[Condition | None] = field(default_factory=lambda: [RUNNING])
    codes: list[int | EngineProblem] = field(default_factory=lambda: [0])
    asked: int = 0

    async def look(self, id: str) -> Condition | None:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    async def run(self, id: str, argv: Sequence[str], within: float) -> Ended:
        self.asked += 1
        code = self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]
        if isinstance(code, EngineProblem):
            raise code
        return Ended(code, "not yet\n")

    async def tail(self, id: str, lines: int) -> str:
        return "the end of its log"


def exec_check(*, timeout: float = 5.0) -> Check:
    return Check(exec=("probe",), every=0.01, timeout=timeout)


def wait(telling: Telling, check: Check) -> float:
    """How long it took, in seconds."""
    began = time.monotonic()
    asyncio.run(wait_until_ready(telling, "web", check))
    return time.monotonic() - began


def test_asked_until_it_says_yes() -> None:
    telling = Telling(codes=[1, 1, EngineProblem("busy"), 0])
    wait(telling, exec_check())
    assert telling.asked == 4


def test_a_port_at_which_nobody_listens_is_told_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with pytest.raises(NotReady, match=rf"\(last: 127\.0\.0\.1:{port}: Connection refused\)"):
        wait(Telling(), Check(tcp=port, every=0.01, timeout=0.2))


def test_without_a_check_it_has_to_last_a_second() -> None:
    assert wait(Telling(), Check()) >= 1
    with pytest.raises(NotReady, match="ended with code 3"):
        wait(Telling([RUNNING, RUNNING, ENDED]), Check())


@pytest.mark.parametrize(
    ("later", "why"),
    [(ENDED, "ended with code 3"), (RESTARTED, "was restarted"), (BETWEEN, "ended with code 3"), (None, "not there")],
)
def test_an_end_is_noticed_at_once(later: Condition | None, why: str) -> None:
    began = time.monotonic()
    with pytest.raises(NotReady, match=why):
        wait(Telling([RUNNING, RUNNING, later], codes=[1]), exec_check(timeout=30))
    assert time.monotonic() - began < 5


def test_an_end_right_after_a_yes() -> None:
    with pytest.raises(NotReady, match="ended") as caught:
        wait(Telling([RUNNING, ENDED]), exec_check())
    assert caught.value.said == "the end of its log"


def test_a_restart_of_the_past_does_not_count() -> None:
    wait(Telling([RESTARTED]), exec_check())


def test_time_is_up() -> None:
    with pytest.raises(
        NotReady, match=r"not ready within 0\.2 seconds \(last: probe exited with 1: not yet\)"
    ) as caught:
        wait(Telling(codes=[1]), exec_check(timeout=0.2))
    assert caught.value.said == "the end of its log"


def test_an_engine_that_is_gone_is_not_an_instance_that_is_not_ready() -> None:
    with pytest.raises(EngineUnavailable):
        wait(Telling(codes=[EngineUnavailable("gone")]), exec_check())


Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(*answers: bytes) -> Served:
    left = list(answers)

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    return served


async def everything_else() -> None:
    """Wait for whatever still goes on: a connection that was taken a moment ago is nobody's yet."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


def against(served: Served, check: Callable[[int], Check]) -> None:
    async def scenario() -> None:
        server = await asyncio.start_server(served, "127.0.0.1")
        port = server.sockets[0].getsockname()[1]
        try:
            await wait_until_ready(Telling(), "web", check(port))
        finally:
            server.close()
            await everything_else()

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [b"200 OK", b"204 No Content", b"302 Found"])
def test_http_that_is_ready(status: bytes) -> None:
    against(
        answering(b"HTTP/1.1 503 Away\r\n\r\n", b"", b"HTTP/1.1 " + status + b"\r\n\r\n"),
        lambda port: Check(http="/ready", port=port, every=0.01, timeout=5),
    )


@pytest.mark.parametrize(("answer", "last"), [(b"HTTP/1.1 404 Not Found\r\n\r\n", "404"), (b"hello\r\n", "no HTTP")])
def test_http_that_is_not(answer: bytes, last: str) -> None:
    with pytest.raises(NotReady, match=last):
        against(answering(answer), lambda port: Check(http="/ready", port=port, every=0.01, timeout=0.2))


def test_tcp() -> None:
    against(answering(b""), lambda port: Check(tcp=port, every=0.01, timeout=5))
    with pytest.raises(NotReady, match="not ready"):
        wait(Telling(), Check(tcp=1, every=0.01, timeout=0.2))


def test_a_connection_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(NotReady, match="not ready"):
        wait(Telling(), Check(http="/", port=silent.getsockname()[1], every=0.01, timeout=0.2))
