"""The serving plane's parts in memory: each remembers what was applied, and tells who would be sent where."""

from collections.abc import Mapping, Sequence

from dataplane.gateway import Route
from dataplane.maps import Maps, Place, elements
from tests.fakes.touch import Touch, straight


class FakeFirewall:
    def __init__(self, touch: Touch = straight) -> None:
        self.maps, self._touch = Maps(), touch
        self.strangers: set[int] = set()

    async def apply(self, maps: Maps) -> None:
        def load() -> None:
            self.maps = maps

        await self._touch("nft load", load)

    async def check(self, maps: Maps) -> None:
        elements(maps)

    async def differs(self, maps: Maps) -> str:
        return "" if elements(maps) == elements(self.maps) else f"it holds {self.maps}, not {maps}"

    async def listening(self) -> set[int]:
        return self.strangers

    def who_answers(self, source: str | None, address: str, port: int) -> set[Place]:
        """Where a connection from `source` may end (None: from the machine itself); nowhere if it is refused."""
        at = (address, port)
        if source and (source, at) in self.maps.members:
            return set(self.maps.members[source, at])
        return set(self.maps.everybody.get(at, ()))


class FakeNames:
    def __init__(self, touch: Touch = straight) -> None:
        self.hosts: dict[str, str] = {}
        self._touch = touch

    async def apply(self, hosts: Mapping[str, str]) -> None:
        def tell() -> None:
            self.hosts = dict(hosts)

        if self.hosts != hosts:
            await self._touch("names tell", tell)

    async def ask(self, name: str) -> str | None:
        return self.hosts.get(name)


class FakeGateway:
    def __init__(self, touch: Touch = straight) -> None:
        self.loaded: list[Route] = []
        self._touch = touch

    async def apply(self, routes: Sequence[Route]) -> None:
        def load() -> None:
            self.loaded = sorted(routes, key=lambda route: route.key)

        if not await self.holds(routes):
            await self._touch("gateway load", load)

    async def check(self, routes: Sequence[Route]) -> None:
        sorted(route.key for route in routes)

    async def holds(self, routes: Sequence[Route]) -> bool:
        return self.loaded == sorted(routes, key=lambda route: route.key)
