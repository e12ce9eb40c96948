"""A store on its way to other machines: its parts on two servers, and the whole way from one to three and back."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from dataplane import store_move
from dataplane.entry import Closed, Moved, StoreDown
from dataplane.kv import Kv
from dataplane.layout import Layout, point_at, pointed_at
from dataplane.nats_keys import fresh_password
from dataplane.nats_server import NatsServer
from dataplane.store_move import MoveProblem
from tests.adapters.buses import alone
from tests.adapters.fleet import OUT_OF_WAY, Fleet, connection, fleet, persist
from tests.adapters.places import beside, on

T = TypeVar("T")
MACHINES = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NatsServer, NatsServer]]:
    """Two stores on one machine: the old one, and the new one."""
    both = alone(tmp_path_factory.mktemp("old")), alone(tmp_path_factory.mktemp("new"))
    for server in both:
        asyncio.run(server.ensure())
    yield both
    for server in both:
        asyncio.run(server.remove())
        assert not server.home.exists()


@asynccontextmanager
async def stores(servers: tuple[NatsServer, NatsServer], bucket: str) -> AsyncIterator[tuple[Kv, Kv]]:
    async with connection(servers[0]) as there, connection(servers[1]) as here:
        old = Kv(there, bucket)
        await old.found()
        yield old, Kv(here, bucket)


def play(servers: tuple[NatsServer, NatsServer], story: Callable[[Kv, Kv], Awaitable[None]]) -> None:
    async def played() -> None:
        async with stores(servers, f"t{time.monotonic_ns()}") as (old, new):
            for n in range(70):
                await old.put(f"k.{n}", b"%d" % n, 0)
            await story(old, new)

    asyncio.run(played())


def test_a_closed_store_takes_nothing_tells_everything_and_can_be_opened_again(
    servers: tuple[NatsServer, NatsServer],
) -> None:
    async def story(old: Kv, new: Kv) -> None:
        entry = await old.get("k.1")
        assert entry
        for _ in range(2):
            await store_move.close(old)
            for where, revision in (("k.1", entry.revision), ("new", 0)):
                with pytest.raises(Closed):
                    await old.put(where, b"{}", revision)
        assert await old.get("k.1") == entry
        assert len(await old.all()) == 70
        await store_move.reopen(old)
        assert await old.put("k.1", b"{}", entry.revision) > entry.revision

    play(servers, story)


def test_what_was_sent_before_the_close_is_in_it_or_was_refused(servers: tuple[NatsServer, NatsServer]) -> None:
    async def story(old: Kv, new: Kv) -> None:
        sent = [asyncio.create_task(old.put(f"late.{n}", b"x" * 100, 0)) for n in range(200)]
        while not any(task.done() for task in sent):
            await asyncio.sleep(0)
        await store_move.close(old)
        there = await old.all("late")
        answers = await asyncio.gather(*sent, return_exceptions=True)
        assert {type(answer) for answer in answers} <= {int, Closed}
        assert {f"late.{n}" for n, answer in enumerate(answers) if isinstance(answer, int)} == there.keys()

    play(servers, story)


def test_each_part_can_be_done_again_and_revisions_go_on(servers: tuple[NatsServer, NatsServer]) -> None:
    async def story(old: Kv, new: Kv) -> None:
        last = max(entry.revision for entry in (await old.all()).values())
        await store_move.close(old)
        for _ in range(2):
            await store_move.form(old, new, 1)
        await new.put("k.3", b"3", 0)  # somebody was cut in the middle of the next part
        for _ in range(2):
            assert await store_move.carry(old, new) == 70
            assert await store_move.compare(old, new) == 70
        assert min(entry.revision for entry in (await new.all()).values()) > last
        with pytest.raises(Moved):
            await new.put("k.1", b"late", last)

    play(servers, story)


def test_a_move_that_would_lose_something_is_refused(servers: tuple[NatsServer, NatsServer]) -> None:
    async def story(old: Kv, new: Kv) -> None:
        await store_move.form(old, new, 1)
        with pytest.raises(MoveProblem, match="open"):
            await store_move.carry(old, new)
        await store_move.close(old)
        with pytest.raises(MoveProblem, match=r"k\.0"):
            await store_move.compare(old, new)
        foreign = await new.put("k.5", b"foreign", 0)
        with pytest.raises(MoveProblem, match=r"another record in k\.5"):
            await store_move.carry(old, new)
        corrected = await new.put("k.5", b"5", foreign)
        await store_move.carry(old, new)
        assert await store_move.compare(old, new) == 70
        await new.put("k.5", b"foreign", corrected)
        with pytest.raises(MoveProblem, match=r"k\.5"):
            await store_move.compare(old, new)
        await store_move.reopen(old)
        with pytest.raises(MoveProblem, match="open"):
            await store_move.compare(old, new)

    play(servers, story)


def test_a_new_store_below_the_old_ones_revisions_is_refused(servers: tuple[NatsServer, NatsServer]) -> None:
    async def story(old: Kv, new: Kv) -> None:
        await new.found()
        await store_move.close(old)
        await store_move.carry(old, new)
        with pytest.raises(MoveProblem, match="revisions that the old one had"):
            await store_move.compare(old, new)

    play(servers, story)


# ------------------------------------------------------------------------------------------------ on machines


def test_from_one_to_three_and_back_while_somebody_writes(tmp_path: Path) -> None:
    with fleet(tmp_path, *MACHINES) as machines:
        first = machines.layout([1], MACHINES)
        three = replace(machines.layout([1, 2, 3], MACHINES, "op-1"), ports=first.other_ports)
        back = replace(machines.layout([3], MACHINES, "op-2"), ports=three.other_ports)
        start(machines, first, MACHINES)
        machines.records(1, first, Kv.found)
        log = tmp_path / "acknowledged"
        with beside(2, lambda: writing(machines, 2, log)):
            more(log)
            move(machines, first, three, killed=2)
            more(log)
            on(1, lambda: finds_it_again(machines, first))
            move(machines, three, back, killed=3)
            more(log)
        acknowledged = {f"w.{n}" for n in log.read_text().split()}
        assert acknowledged <= machines.records(4, back, lambda kv: kv.all("w")).keys()
        for _, server in machines.started:
            if server.layout.store != back.store:
                assert not server.home.exists()


def start(machines: Fleet, layout: Layout, numbers: tuple[int, ...]) -> None:
    password = fresh_password()
    for number in numbers:
        if len(layout.holders) > 1 and f"m{number}" in layout.holders:
            machines.server(number, layout).agree(password)
        machines.ensure(number, layout)
        if layout.store == "first":
            point_at(machines.home(number), layout)


def move(machines: Fleet, old: Layout, new: Layout, *, killed: int) -> None:
    """Move the store as the machine 4 does it, with a server of each store killed on the way."""
    start(machines, new, MACHINES)

    async def both(part: Callable[[Kv, Kv], Awaitable[T]]) -> T:
        async with (
            connection(machines.server(4, old)) as there,
            connection(machines.server(4, new)) as here,
        ):
            return await persist(lambda: part(Kv(there, "records"), Kv(here, "records")))

    on(4, lambda: both(lambda there, _: store_move.close(there)))
    before = machines.records(4, old, lambda kv: persist(kv.all))
    kill(machines, int(old.holders[0][1:]), old)
    on(4, lambda: both(lambda there, here: store_move.form(there, here, len(new.holders))))
    kill(machines, killed, new)
    assert on(4, lambda: both(store_move.carry)) == len(before)
    assert on(4, lambda: both(store_move.compare)) == len(before)
    stale = {where: entry.revision for where, entry in before.items()}
    for number in MACHINES:
        point_at(machines.home(number), new)
        server = machines.server(number, old)
        on(number, server.remove)
    where, revision = next(iter(stale.items()))
    with pytest.raises(Moved):
        machines.records(4, new, lambda kv: kv.put(where, b"late", revision))


async def finds_it_again(machines: Fleet, old: Layout) -> None:
    """Who held the old store and knows of no move looks for it everywhere."""
    server = NatsServer(machines.home(1), "m1", old, searching=True)
    await server.ensure()
    async with connection(server) as bus:
        found = await persist(Kv(bus, "records").all)
    assert "w.0" in found
    await server.remove()


def kill(machines: Fleet, number: int, layout: Layout) -> None:
    """Kill a server, and have it started again as its machine's daemon does."""
    pid = on(number, machines.server(number, layout).running)
    assert pid
    os.kill(pid, signal.SIGKILL)
    machines.ensure(number, layout)


async def writing(machines: Fleet, number: int, log: Path) -> None:
    """Write one record after the other, to whatever store the machine is pointed at; log what was acknowledged."""
    count = 0
    while layout := pointed_at(machines.home(number)):
        async with connection(machines.server(number, layout)) as bus:
            while pointed_at(machines.home(number)) == layout:
                with suppress(Moved):  # then it arrived although nobody said so
                    try:
                        await Kv(bus, "records").put(f"w.{count}", b"%d" % count, 0)
                    except StoreDown:
                        await asyncio.sleep(0.02)
                        continue
                with log.open("a") as acknowledged:
                    acknowledged.write(f"{count}\n")
                count += 1


def more(log: Path) -> None:
    """Wait until more was written."""

    def written() -> int:
        return len(log.read_text().split()) if log.exists() else 0

    begin, until = written(), time.monotonic() + OUT_OF_WAY
    while written() < begin + 20:
        assert time.monotonic() < until, "nothing is written any more"
        time.sleep(0.02)
