"""What the store costs on several machines: dev/sandbox env PYTHONPATH=. .venv/bin/python -P dev/bench.d/storing.py

Four machines in namespaces on one host, without a daemon: what crosses between them costs no time, what they sync does.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parent))

from figure import Figure, shown, table

from dataplane import store_move
from dataplane.calls import Calls, Question, Undelivered
from dataplane.kv import Kv
from dataplane.layout import Layout
from dataplane.nats_keys import fresh_password
from tests.adapters.fleet import Fleet, connection, fleet
from tests.adapters.places import beside, on

HOLDER, LEAF, OTHER = 1, 4, 3
MACHINES = (1, 2, 3, 4)
PUTS, CALLS = 300, 300
RECORDS = 1000


def measure() -> list[Figure]:
    """A record's write and a call between machines, and the store's move from one machine to three and back."""
    with tempfile.TemporaryDirectory(prefix="pz") as folder, fleet(Path(folder), *MACHINES) as machines:
        one = machines.layout([HOLDER], MACHINES)
        three = replace(machines.layout([1, 2, 3], MACHINES, "op-1"), ports=one.other_ports)
        back = replace(machines.layout([3], MACHINES, "op-2"), ports=three.other_ports)
        _start(machines, one)
        machines.records(HOLDER, one, _filled)
        figures = [*_writes(machines, one, "one machine"), _calls(machines, one)]
        figures.append(_move(machines, one, three, "from one machine to three"))
        figures += _writes(machines, three, "three machines")
        figures.append(_move(machines, three, back, "from three machines to one"))
    return figures


def _start(machines: Fleet, layout: Layout) -> None:
    password = fresh_password()
    for number in MACHINES:
        if f"m{number}" in layout.holders:
            machines.server(number, layout).agree(password)
        machines.ensure(number, layout)


async def _filled(kv: Kv) -> None:
    await kv.found()
    for number in range(RECORDS):
        await kv.put(f"k.{number}", b"x" * 500, 0)


def _writes(machines: Fleet, layout: Layout, held: str) -> list[Figure]:
    async def timed(kv: Kv) -> list[float]:
        revision, times = 0, []
        now = await kv.get("bench")
        revision = now.revision if now else 0
        for _ in range(PUTS):
            began = time.perf_counter()
            revision = await kv.put("bench", b"x" * 500, revision)
            times.append(time.perf_counter() - began)
        return times

    return [
        _figure(f"a record's write, store on {held}, from {whom}", machines.records(number, layout, timed))
        for number, whom in ((HOLDER, "a machine that holds it"), (LEAF, "a leaf"))
    ]


def _calls(machines: Fleet, layout: Layout) -> Figure:
    async def answering() -> None:
        async def echo(question: Question) -> bytes:
            return question.data

        async with connection(machines.server(OTHER, layout)) as bus:
            await (await Calls.over(bus)).answer("svc.m3.echo", echo)
            await asyncio.Event().wait()

    async def asking() -> list[float]:
        times: list[float] = []
        async with connection(machines.server(LEAF, layout)) as bus:
            calls = await Calls.over(bus)
            while len(times) < CALLS:
                began = time.perf_counter()
                try:
                    await calls.request("svc.m3.echo", b"x" * 500, 5)
                except Undelivered:  # it has only just begun to listen
                    await asyncio.sleep(0.05)
                    continue
                times.append(time.perf_counter() - began)
        return times

    with beside(OTHER, answering):
        return _figure("a call from one leaf to another", on(LEAF, asking))


def _move(machines: Fleet, old: Layout, new: Layout, way: str) -> Figure:
    began = time.perf_counter()
    _start(machines, new)

    async def both(part: Callable[[Kv, Kv], Awaitable[object]]) -> None:
        there, here = machines.server(LEAF, old), machines.server(LEAF, new)
        async with connection(there) as from_there, connection(here) as to_here:
            await part(Kv(from_there, "records"), Kv(to_here, "records"))

    async def moved(there: Kv, here: Kv) -> None:
        await store_move.close(there)
        await store_move.form(there, here, len(new.holders))
        await store_move.carry(there, here)
        await store_move.compare(there, here)

    on(LEAF, lambda: both(moved))
    taken = time.perf_counter() - began
    for number in MACHINES:
        on(number, machines.server(number, old).remove)
    return Figure(f"moving a store of {RECORDS} records {way}, servers started", shown([taken]))


def _figure(what: str, times: list[float]) -> Figure:
    ordered = sorted(times)
    middle, slow = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    return Figure(what, f"{middle * 1000:.2f} ms (99 of 100 within {slow * 1000:.2f} ms)", runs=len(times))


if __name__ == "__main__":
    print(table(measure()))
