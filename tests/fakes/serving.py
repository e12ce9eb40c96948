"""The serving plane's parts in memory: each remembers what was applied, and tells who would be sent where."""

from collections.abc import Mapping, Sequence

from dataplane.firewall import Maps, slots
from dataplane.gateway import Route
from tests.fakes.touch import Touch, straight


class FakeFirewall:
    def __init__(self, touch: Touch = straight) -> None:
        self.maps, self._touch = Maps(), touch

    async def apply(self, maps: Maps) -> None:
        def load() -> None:
            self.maps = maps

        await self._touch("nft load", load)

    async def check(self, maps: Maps) -> None:
        slots(maps)

    async def read(self) -> dict[str, str]:
        return slots(self.maps)

    def who_answers(self, address: str, port: int, source: str = "") -> set[str]:
        """The addresses of the instances that a connection from `source` may reach."""
        targets = self.maps.members.get((source, address, port)) or self.maps.everybody.get((address, port), ())
        return {target.ip for target in targets}


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
            self.loaded = list(routes)

        if self.loaded != list(routes):
            await self._touch("gateway load", load)

    async def check(self, routes: Sequence[Route]) -> None:
        sorted(route.key for route in routes)

    async def routes(self) -> list[Route]:
        return list(self.loaded)
