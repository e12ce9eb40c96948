"""The bucket: one suite over the fake and over a real nats-server, with the server frozen and killed in between."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from daemon.bucket import Kv as AnyKv
from dataplane.bus import ANSWER, Bus
from dataplane.entry import Entry, Moved, Sight, StoreDown, TooLarge, key
from dataplane.kv import Kv
from dataplane.nats_server import NatsServer
from tests.adapters.buses import alone
from tests.fakes.kv import FakeKv
from tests.stopping import stop


class Rig(Protocol):
    """A store that a test can hurt, and connections to one bucket of it."""

    def connected(self) -> AbstractAsyncContextManager[AnyKv]: ...
    async def freeze(self) -> None: ...
    async def kill(self) -> None: ...
    async def start(self) -> None: ...


@dataclass
class FakeRig:
    kv: FakeKv = field(default_factory=FakeKv)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[AnyKv]:
        yield self.kv

    async def freeze(self) -> None:
        self.kv.freeze()

    async def kill(self) -> None:
        self.kv.kill()

    async def start(self) -> None:
        self.kv.start()


@dataclass
class RealRig:
    server: NatsServer
    bucket: str
    buses: list[Bus] = field(default_factory=list)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[AnyKv]:
        bus = await connect(self.server)
        self.buses.append(bus)
        kv = Kv(bus, self.bucket)
        await kv.found()
        try:
            yield kv
        finally:
            await bus.close()

    async def freeze(self) -> None:
        stop(await self._pid())

    async def kill(self) -> None:
        os.kill(await self._pid(), signal.SIGKILL)
        async with asyncio.timeout(5):
            while any(bus.is_connected for bus in self.buses):
                await asyncio.sleep(0.01)

    async def start(self) -> None:
        if pid := await self.server.running():
            os.kill(pid, signal.SIGCONT)
        await self.server.ensure()
        for bus in self.buses:
            await bus.connected()

    async def _pid(self) -> int:
        pid = await self.server.running()
        assert pid
        return pid


async def connect(server: NatsServer) -> Bus:
    return await Bus.connect(server.url, seed=server.seed(), inbox=server.inbox)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = alone(tmp_path_factory.mktemp("store"))
    asyncio.run(server.ensure())
    yield server
    asyncio.run(server.stop())


@pytest.fixture(params=["fake", "real"])
def rig(request: pytest.FixtureRequest) -> Rig:
    if request.param == "fake":
        return FakeRig()
    return RealRig(request.getfixturevalue("server"), f"t{time.monotonic_ns()}")


def play(story: Callable[[Rig, AnyKv], Awaitable[None]], rig: Rig) -> None:
    async def connected() -> None:
        async with rig.connected() as kv:
            await story(rig, kv)

    asyncio.run(connected())


def test_a_put_writes_over_exactly_the_revision_it_names(rig: Rig) -> None:
    async def story(rig: Rig, kv: AnyKv) -> None:
        assert await kv.get("a.b") is None
        first = await kv.put("a.b", b"one", 0)
        assert await kv.get("a.b") == Entry(b"one", first)
        second = await kv.put("a.b", b"two", first)
        assert second > first
        for wrong in (0, first, second + 1):
            with pytest.raises(Moved):
                await kv.put("a.b", b"late", wrong)
        assert await kv.get("a.b") == Entry(b"two", second)
        with pytest.raises(Moved):
            await kv.put("a.c", b"not there", first)
        assert await kv.get("a.c") is None

    play(story, rig)


def test_another_keys_write_does_not_move_a_key(rig: Rig) -> None:
    async def story(rig: Rig, kv: AnyKv) -> None:
        first = await kv.put("a", b"one", 0)
        other = await kv.put("b", b"one", 0)
        assert await kv.put("a", b"two", first) > other

    play(story, rig)


def test_an_empty_value_is_a_value(rig: Rig) -> None:
    async def story(rig: Rig, kv: AnyKv) -> None:
        revision = await kv.put("a", b"", 0)
        assert await kv.get("a") == Entry(b"", revision)
        with pytest.raises(Moved):
            await kv.put("a", b"again", 0)

    play(story, rig)


def test_of_fifty_at_once_exactly_one_wins(rig: Rig) -> None:
    async def story(rig: Rig, kv: AnyKv) -> None:
        async with rig.connected() as other:
            revision = 0
            for _ in range(3):
                writes = [(kv, other)[n % 2].put("a", b"%d" % n, revision) for n in range(50)]
                answers = await asyncio.gather(*writes, return_exceptions=True)
                [won] = [(n, answer) for n, answer in enumerate(answers) if isinstance(answer, int)]
                assert sum(isinstance(answer, Moved) for answer in answers) == 49
                assert await kv.get("a") == Entry(b"%d" % won[0], won[1])
                revision = won[1]

    play(story, rig)


def test_all_tells_what_is_below_a_prefix_and_nothing_else(rig: Rig) -> None:
    async def story(rig: Rig, kv: AnyKv) -> None:
        address, route = key("reserved", "address", "10.210.0.5"), key("reserved", "hostname", "*.é x/y")
        for where in ("reserved", "reservedx.a", address, route):
            await kv.put(where, where.encode(), 0)
        assert set(await kv.all("reserved")) == {address, route}
        assert (await kv.all(key("reserved", "address")))[address].value == address.encode()
        assert await kv.all("nothing") == {}

    play(story, rig)


def test_thousands_of_records_are_told_in_one_pass(rig: Rig) -> None:
    async def story(rig: Rig, kv: AnyKv) -> None:
        revisions: set[int] = set()
        for begin in range(0, 2000, 200):
            some = range(begin, begin + 200)
            revisions |= set(await asyncio.gather(*(kv.put(f"n.{n}", b"x" * 500, 0) for n in some)))
        found = await kv.all("n")
        assert {found[f"n.{n}"].revision for n in range(2000)} == revisions

    play(story, rig)


def test_what_is_too_large_is_not_sent(rig: Rig) -> None:
    async def story(rig: Rig, kv: AnyKv) -> None:
        largest = 8 * 1024 * 1024 - 1024
        with pytest.raises(TooLarge):
            await kv.put("big", b"x" * (largest + 1), 0)
        revision = await kv.put("big", b"x" * largest, 0)
        assert await kv.get("big") == Entry(b"x" * largest, revision)

    play(story, rig)


def test_a_watch_tells_what_is_there_and_then_each_change(rig: Rig) -> None:
    async def story(rig: Rig, kv: AnyKv) -> None:
        one, two = await kv.put("a", b"1", 0), await kv.put("b.c", b"2", 0)
        async with aclosing(kv.watch()) as told:
            seen = [await anext(told) for _ in range(3)]
            assert seen == [("a", Entry(b"1", one)), ("b.c", Entry(b"2", two)), Sight.CURRENT]
            three = await kv.put("a", b"3", one)
            assert await anext(told) == ("a", Entry(b"3", three))

    play(story, rig)


def test_a_watch_of_nothing_is_current_at_once(rig: Rig) -> None:
    async def story(rig: Rig, kv: AnyKv) -> None:
        async with aclosing(kv.watch()) as told:
            assert await anext(told) is Sight.CURRENT

    play(story, rig)


def test_a_watch_loses_sight_of_a_dead_store_and_tells_all_again_when_it_is_back(rig: Rig) -> None:
    async def story(rig: Rig, kv: AnyKv) -> None:
        one = await kv.put("a", b"1", 0)
        async with aclosing(kv.watch()) as told:
            assert [await anext(told) for _ in range(2)] == [("a", Entry(b"1", one)), Sight.CURRENT]
            await rig.kill()
            assert await anext(told) is Sight.LOST
            await rig.start()
            assert [await anext(told) for _ in range(2)] == [("a", Entry(b"1", one)), Sight.CURRENT]
            two = await kv.put("a", b"2", one)
            assert await anext(told) == ("a", Entry(b"2", two))

    play(story, rig)


def test_what_was_acknowledged_survives_a_kill(rig: Rig) -> None:
    async def story(rig: Rig, kv: AnyKv) -> None:
        for batch in range(3):
            keys = [f"k.{batch}-{n}" for n in range(40)]
            revisions = await asyncio.gather(*(kv.put(where, where.encode(), 0) for where in keys))
            await rig.kill()
            await rig.start()
            for where, revision in zip(keys, revisions, strict=True):
                assert await kv.get(where) == Entry(where.encode(), revision)
            assert await kv.put(f"after.{batch}", b"", 0) > max(revisions)

    play(story, rig)


def test_a_frozen_store_is_down_within_seconds_and_what_comes_late_obeys_compare_and_set(rig: Rig) -> None:
    async def story(rig: Rig, kv: AnyKv) -> None:
        async with rig.connected() as other:
            first = await kv.put("a", b"before", 0)
            await rig.freeze()
            began = time.monotonic()
            ghosts = [kv.put("a", b"ghost 1", first), other.put("a", b"ghost 2", first), kv.put("a", b"stale", 0)]
            answers = await asyncio.gather(*ghosts, return_exceptions=True)
            assert [type(answer) for answer in answers] == [StoreDown] * 3
            assert time.monotonic() - began < 5
            with pytest.raises(StoreDown):
                await kv.get("a")
            await rig.start()
            async with asyncio.timeout(5):
                while (now := await kv.get("a")) == Entry(b"before", first):
                    await asyncio.sleep(0.01)
            assert now
            assert now.value in (b"ghost 1", b"ghost 2")
            marker = await other.put("marker", b"", 0)
            assert await kv.get("a") == now
            assert now.revision < marker

    play(story, rig)


def test_a_dead_store_is_down_at_once_and_nothing_is_sent_later(rig: Rig) -> None:
    async def story(rig: Rig, kv: AnyKv) -> None:
        first = await kv.put("a", b"before", 0)
        await rig.kill()
        began = time.monotonic()
        for asking in (kv.put("a", b"late", first), kv.put("b", b"late", 0), kv.get("a"), kv.all("a")):
            with pytest.raises(StoreDown):
                await asking
        assert time.monotonic() - began < ANSWER
        await rig.start()
        assert await kv.put("a", b"after", first) == first + 1
        assert await kv.get("b") is None

    play(story, rig)
