"""The serving plane of one machine: firewall, names and gateway hold what the committed heads and open views say."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from daemon import projection
from daemon.node import ZONE, Records, ServingProblem, View
from daemon.projection import Heads
from daemon.records import Head, Service
from daemon.served import Served
from daemon.wire import Refused
from dataplane.gateway import Route
from dataplane.maps import Maps
from runtime.command import CommandError

ASKED_AT_ONCE = 32
"""Names; each takes a socket meanwhile."""


class Firewall(Protocol):
    """dataplane.firewall, as the plane sees it. Each of these parts raises CommandError or one of its kinds."""

    async def apply(self, maps: Maps) -> None: ...
    async def check(self, maps: Maps) -> None: ...
    async def differs(self, maps: Maps) -> str: ...
    async def listening(self) -> set[int]: ...


class Names(Protocol):
    """dataplane.names: full name → address."""

    async def apply(self, hosts: Mapping[str, str]) -> None: ...
    async def ask(self, name: str) -> str | None: ...


class Gateway(Protocol):
    """dataplane.gateway."""

    async def apply(self, routes: Sequence[Route]) -> None: ...
    async def check(self, routes: Sequence[Route]) -> None: ...
    async def holds(self, routes: Sequence[Route]) -> bool: ...


@dataclass
class ServingPlane:
    """Implements `daemon.node.Serving`: everything is applied whole, for one operation at a time.

    What it remembers in `folder` outlives the daemon, and stands in for the store while that is away.
    """

    firewall: Firewall
    names: Names
    gateway: Gateway
    records: Records
    folder: Path
    _down: frozenset[str] = field(default=frozenset(), init=False)
    _away: tuple[frozenset[str], frozenset[str]] = field(default=(frozenset(), frozenset()), init=False)
    _led: Maps = field(default_factory=Maps, init=False)
    _applied: Heads | None = field(default=None, init=False)
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    @property
    def served(self) -> Served:
        return Served(self.folder)

    async def apply(self) -> None:
        """Apply everything anew, with whatever was committed meanwhile."""
        async with self._one_at_a_time:
            await self._apply(await self._heads())

    async def show(self, view: View) -> None:
        async with self._one_at_a_time:
            heads = await self._heads()
            self.served.keep(view)
            await self._apply(heads)

    async def drop(self, operation: str, *, committed: Head | None = None) -> None:
        async with self._one_at_a_time:
            self.served.forget(operation)
            await self._apply(await self._heads(committed))

    def applied(self) -> Heads | None:
        """The committed heads that were applied last, whole, since the daemon began; None before the first."""
        return self._applied

    def led_to(self) -> dict[str, Service]:
        """The committed instances, by id, that no open operation withdrew."""
        withdrawn = {id for view in self.served.views() for id in view.withdrawn}
        heads = (self.served.heads() or {}).values()
        services = [service for head in heads for service in head.services.values()]
        return {each.id: service for service in services for each in service.instances if each.id not in withdrawn}

    async def mark_down(self, instances: Collection[str]) -> None:
        """Lead nobody to these instances, by id, and to all others again; apply everything anew, as at a start.

        It is an observation, never recorded.
        """
        async with self._one_at_a_time:
            self._down = frozenset(instances)
            await self._apply(await self._heads())

    async def mark_away(self, machines: Collection[str], instances: Collection[str]) -> None:
        """The same of other machines' instances, and of all that there are on `machines`."""
        async with self._one_at_a_time:
            self._away = frozenset(machines), frozenset(instances)
            await self._apply(await self._heads())

    async def check(self, head: Head) -> None:
        for service in head.services.values():
            if service.routes and projection.gateway_port(service) is None:
                lost = f"the routes of {service.name} lead to none of its ports"
                raise ServingProblem(f"{lost}: name one of them `web` or `http`, or have only one")
        async with self._one_at_a_time:
            heads = {**await self._heads(), head.namespace: head}
            others = [view for view in self.served.views() if view.operation != head.operation]
            with _in_words():
                await self.firewall.check(self._maps(heads, others))
                await self.gateway.check(projection.routes(heads))

    async def listening(self) -> set[int]:
        with _in_words():
            return await self.firewall.listening()

    async def agrees(self, head: Head) -> str:
        """Of all else, what was applied last is to be served, and nothing more."""
        async with self._one_at_a_time:
            heads, views = {**(self.served.heads() or {}), head.namespace: head}, self.served.views()
            try:
                return (
                    await self.firewall.differs(self._maps(heads, views))
                    or await self._misnamed(projection.hosts({head.namespace: head}, ()))
                    or await self._misrouted(projection.routes(heads))
                )
            except CommandError as failure:
                return str(failure)

    async def differs(self, part: str) -> str:
        """What `firewall`, `names` or `gateway` holds otherwise than what was applied last; empty if nothing."""
        async with self._one_at_a_time:
            heads, views = self.served.heads() or {}, self.served.views()
            try:
                match part:
                    case "firewall":
                        return await self.firewall.differs(self._maps(heads, views))
                    case "names":
                        await self.names.ask(f"nothing.{ZONE}")  # without names there still has to be an answer
                        return await self._misnamed(projection.hosts(heads, views))
                    case _:
                        return await self._misrouted(projection.routes(heads))
            except (CommandError, OSError) as failure:
                return str(failure)

    async def _apply(self, heads: Heads) -> None:
        """What appears is led before it has a name or a route, and what goes has neither before it is led no more."""
        views = self.served.views()
        maps, routes = self._maps(heads, views), projection.routes(heads)
        with _in_words():
            reload = not await self.gateway.holds(routes)
            led = self._with_leaving(maps, heads) if reload else maps
            await self.firewall.apply(led)
            await self.names.apply(projection.hosts(heads, views))
            if reload:
                await self.gateway.apply(routes)
            if led != maps:
                await self.firewall.apply(maps)
        self._led, self._applied = maps, heads

    def _maps(self, heads: Heads, views: Sequence[View]) -> Maps:
        machines, instances = self._away
        services = (service for head in heads.values() for service in head.services.values())
        gone = {each.id for service in services for each in service.instances if each.machine in machines}
        return projection.maps(heads, views, self._down | instances | gone)

    def _with_leaving(self, maps: Maps, heads: Heads) -> Maps:
        """The maps, and where services that are leaving were led: the gateway still has routes to them."""
        staying = projection.addresses(heads)
        leaving = {at: led for at, led in self._led.everybody.items() if at[0] not in staying}
        return Maps({**leaving, **maps.everybody}, maps.members, maps.published)

    async def _heads(self, committed: Head | None = None) -> Heads:
        """The committed heads: the store's, or, while it is away, those that were applied last."""
        try:
            heads = projection.heads_of(await self.records.namespaces())
        except Refused as refused:
            remembered = self.served.heads()
            if refused.code != "store.down" or remembered is None:
                raise
            heads = remembered
        if committed:
            heads[committed.namespace] = committed
        self.served.remember(heads)
        return heads

    async def _misnamed(self, names: Mapping[str, str]) -> str:
        bound = asyncio.Semaphore(ASKED_AT_ONCE)

        async def asked(name: str) -> str | None:
            async with bound:
                return await self.names.ask(name)

        told = await asyncio.gather(*map(asked, names))
        for (name, address), found in zip(names.items(), told, strict=True):
            if found != address:
                return f"the name {name} is {found or 'unknown'}, not {address}"
        return ""

    async def _misrouted(self, routes: Sequence[Route]) -> str:
        return "" if await self.gateway.holds(routes) else "the gateway has other routes"


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except (CommandError, OSError) as failure:
        raise ServingProblem(str(failure)) from failure
