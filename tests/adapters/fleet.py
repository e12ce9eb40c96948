"""Machines on one underlay, each with its own nats-server: a cluster as the bus sees it. Root, in dev/sandbox."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from dataplane.bus import Bus
from dataplane.entry import StoreDown
from dataplane.kv import Kv
from dataplane.layout import Layout, Member
from dataplane.nats_keys import NatsKeys
from dataplane.nats_server import NatsServer
from tests.adapters.places import machines, on, underlay

T = TypeVar("T")

OUT_OF_WAY = 30.0
"""Seconds within which a store that lost servers, or whoever lost sight of it, goes on."""


async def persist(part: Callable[[], Awaitable[T]]) -> T:
    """Do a part again while the store is down. Of three servers some answer a read, and no list yet."""
    async with asyncio.timeout(OUT_OF_WAY):
        while True:
            with suppress(StoreDown):
                return await part()
            await asyncio.sleep(0.1)


@dataclass
class Fleet:
    """Machines by number; `m<number>` is the name, and its address on the underlay stands for that on the mesh."""

    folder: Path
    started: list[tuple[int, NatsServer]] = field(default_factory=list)

    def layout(self, holders: Sequence[int], members: Sequence[int], store: str = "first") -> Layout:
        return Layout(store, tuple(f"m{n}" for n in holders), tuple(self.member(n) for n in members))

    def member(self, number: int) -> Member:
        return Member(f"m{number}", NatsKeys(self.home(number)).public(), underlay(number))

    def home(self, number: int) -> Path:
        return self.folder / f"m{number}"

    def server(self, number: int, layout: Layout) -> NatsServer:
        return NatsServer(self.home(number), f"m{number}", layout)

    def records(self, number: int, layout: Layout, story: Callable[[Kv], Awaitable[T]]) -> T:
        """Do something with the records, as a machine that goes by this layout."""

        async def connected() -> T:
            async with connection(self.server(number, layout)) as bus:
                return await story(Kv(bus, "records"))

        return on(number, connected)

    def ensure(self, number: int, layout: Layout) -> NatsServer:
        """Have the machine's server of this layout run."""
        server = self.server(number, layout)
        self.started.append((number, server))
        on(number, server.ensure)
        return server


@asynccontextmanager
async def connection(server: NatsServer) -> AsyncIterator[Bus]:
    """A machine's connection to its own server."""
    bus = await Bus.connect(server.url, seed=server.seed(), inbox=server.inbox)
    try:
        yield bus
    finally:
        await bus.close()


@contextmanager
def fleet(folder: Path, *numbers: int) -> Iterator[Fleet]:
    """Machines without servers; all that are started end with it."""
    with machines(*numbers):
        made = Fleet(folder)
        try:
            yield made
        finally:
            for number, server in made.started:
                on(number, server.stop)
