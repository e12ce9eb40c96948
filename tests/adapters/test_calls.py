"""Calls over a real nats-server: many at once, long ones, to nobody, and with the server gone in between."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from dataplane.bus import Bus
from dataplane.calls import LIFE, Calls, Question, Unanswered, Undelivered
from dataplane.entry import TooLarge
from dataplane.nats_configuration import LARGEST_MESSAGE
from dataplane.nats_server import NatsServer
from tests.adapters.buses import alone
from tests.stopping import stopped

PATIENCE = 2.5 * LIFE


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = alone(tmp_path_factory.mktemp("store"))
    asyncio.run(server.ensure())
    yield server
    asyncio.run(server.stop())


def play(server: NatsServer, story: Callable[[Calls, Bus], Awaitable[None]]) -> None:
    async def connected() -> None:
        bus = await Bus.connect(server.url, seed=server.seed(), inbox=server.inbox)
        calls = await Calls.over(bus)
        try:
            await story(calls, bus)
        finally:
            await calls.close()
            await bus.close()

    asyncio.run(connected())


async def echo(question: Question) -> bytes:
    return question.data


def test_calls_on_one_subject_are_answered_beside_each_other(server: NatsServer) -> None:
    async def story(calls: Calls, bus: Bus) -> None:
        all_there = asyncio.Barrier(50)

        async def meet(question: Question) -> bytes:
            await all_there.wait()
            return question.subject.encode() + b" " + question.data

        await calls.answer("svc.m1.meet.*", meet)
        asked = [calls.request(f"svc.m1.meet.{n}", b"%d" % n, PATIENCE) for n in range(50)]
        assert await asyncio.gather(*asked) == [b"svc.m1.meet.%d %d" % (n, n) for n in range(50)]

    play(server, story)


def test_where_nobody_listens_the_question_comes_back_at_once(server: NatsServer) -> None:
    async def story(calls: Calls, bus: Bus) -> None:
        began = time.monotonic()
        with pytest.raises(Undelivered, match=r"nobody listens on svc\.m2\.verb"):
            await calls.request("svc.m2.verb", b"", PATIENCE)
        assert time.monotonic() - began < PATIENCE / 2

    play(server, story)


def test_what_is_said_before_the_answer_is_heard_in_order(server: NatsServer) -> None:
    async def story(calls: Calls, bus: Bus) -> None:
        async def count(question: Question) -> bytes:
            for n in range(100):
                await question.say(b"%d" % n)
            return b"over"

        heard: list[bytes] = []
        await calls.answer("svc.m1.count", count)
        assert await calls.request("svc.m1.count", b"", PATIENCE, heard.append) == b"over"
        assert heard == [b"%d" % n for n in range(100)]

    play(server, story)


def test_who_is_still_at_work_is_waited_for(server: NatsServer) -> None:
    async def story(calls: Calls, bus: Bus) -> None:
        async def long(question: Question) -> bytes:
            await asyncio.sleep(3 * LIFE)
            return b"at last"

        await calls.answer("svc.m1.long", long)
        heard: list[bytes] = []
        assert await calls.request("svc.m1.long", b"", 1.5 * LIFE, heard.append) == b"at last"
        assert heard == []

    play(server, story)


def test_a_handler_that_fails_is_told_with_its_words(server: NatsServer) -> None:
    async def story(calls: Calls, bus: Bus) -> None:
        async def fail(question: Question) -> bytes:
            raise ValueError("no such thing\nat all")

        async def say_too_much(question: Question) -> bytes:
            return b"x" * LARGEST_MESSAGE

        await calls.answer("svc.m1.fail", fail)
        await calls.answer("svc.m1.much", say_too_much)
        with pytest.raises(Unanswered, match="ValueError: no such thing\nat all"):
            await calls.request("svc.m1.fail", b"", PATIENCE)
        with pytest.raises(Unanswered, match="TooLarge"):
            await calls.request("svc.m1.much", b"", PATIENCE)
        with pytest.raises(TooLarge):
            await calls.request("svc.m1.fail", b"x" * LARGEST_MESSAGE, PATIENCE)

    play(server, story)


def test_a_question_that_is_forbidden_says_so(server: NatsServer) -> None:
    async def story(calls: Calls, bus: Bus) -> None:
        with pytest.raises(Unanswered, match=r"(?i)permissions violation"):
            await calls.request("somebody.else", b"", 1)

    play(server, story)


def test_a_lost_connection_ends_the_wait_and_the_next_one_serves_again(server: NatsServer) -> None:
    async def story(calls: Calls, bus: Bus) -> None:
        asked, go = asyncio.Event(), asyncio.Event()

        async def wait(question: Question) -> bytes:
            asked.set()
            await go.wait()
            return b"too late"

        await calls.answer("svc.m1.wait", wait)
        await calls.answer("svc.m1.echo", echo)
        waiting = asyncio.create_task(calls.request("svc.m1.wait", b"", 60))
        await asked.wait()
        os.kill(await running(server), signal.SIGKILL)
        with pytest.raises(Unanswered, match="connection was lost"):
            await waiting
        with pytest.raises(Undelivered, match="not connected"):
            await calls.request("svc.m1.echo", b"", 60)
        await calls.answer("svc.m1.also", echo)
        await server.ensure()
        await bus.connected()
        go.set()
        assert await calls.request("svc.m1.echo", b"1", PATIENCE) == b"1"
        assert await calls.request("svc.m1.also", b"2", PATIENCE) == b"2"

    play(server, story)


def test_who_is_frozen_is_given_up(server: NatsServer) -> None:
    async def story(calls: Calls, bus: Bus) -> None:
        await calls.answer("svc.m1.echo", echo)
        with stopped(await running(server)), pytest.raises(Unanswered, match="for 1 seconds"):
            await calls.request("svc.m1.echo", b"", 1)
        assert await calls.request("svc.m1.echo", b"again", PATIENCE) == b"again"

    play(server, story)


async def running(server: NatsServer) -> int:
    pid = await server.running()
    assert pid
    return pid
