"""The serving plane: names, virtual addresses and routes, applied whole from heads and open operations' views."""

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from daemon.node import Records, ServingProblem, View
from daemon.projection import Projection, project
from daemon.records import Head
from daemon.wire import Refused
from dataplane.firewall import FirewallProblem, Maps, slots
from dataplane.gateway import GatewayProblem, Route
from dataplane.names import NamesProblem
from runtime.command import CommandError

FAILURES = (FirewallProblem, GatewayProblem, NamesProblem, CommandError)


class Addresses(Protocol):
    async def apply(self, maps: Maps) -> None: ...
    async def check(self, maps: Maps) -> None: ...
    async def read(self) -> dict[str, str]: ...


class NameServer(Protocol):
    async def apply(self, hosts: Mapping[str, str]) -> None: ...
    async def ask(self, name: str) -> str | None: ...


class Routes(Protocol):
    async def apply(self, routes: Sequence[Route]) -> None: ...
    async def check(self, routes: Sequence[Route]) -> None: ...
    async def routes(self) -> list[Route]: ...


class ServingPlane:
    """Implements `daemon.node.Serving`. `folder` keeps the views of open operations and the heads last seen.

    The heads last seen serve while the store is away, so that taking an operation back does not depend on it.
    """

    def __init__(self, addresses: Addresses, names: NameServer, routes: Routes, records: Records, folder: Path) -> None:
        self._addresses, self._names, self._routes, self._records = addresses, names, routes, records
        self._folder = folder
        self._one_at_a_time = asyncio.Lock()

    async def show(self, view: View) -> None:
        async with self._one_at_a_time:
            self._write(self._view(view.operation), msgspec.json.encode(view))
            await self._apply()

    async def drop(self, operation: str) -> None:
        async with self._one_at_a_time:
            self._view(operation).unlink(missing_ok=True)
            await self._apply()

    async def apply(self) -> None:
        """Apply everything anew, as when the machine starts."""
        async with self._one_at_a_time:
            await self._apply()

    async def check(self, head: Head) -> None:
        heads = {**await self._heads(), head.namespace: head}
        wanted = project(heads.values(), self._views())
        try:
            await self._addresses.check(wanted.maps)
            await self._routes.check(wanted.routes)
        except FAILURES as failure:
            raise ServingProblem(str(failure)) from failure

    async def agrees(self, head: Head) -> str:
        wanted = project([head], ())
        try:
            return await self._differences(wanted)
        except FAILURES as failure:
            return str(failure)

    async def _differences(self, wanted: Projection) -> str:
        there = await self._addresses.read()
        for key, value in _without_slots(slots(wanted.maps)):
            if (key, value) not in set(_without_slots(there)):
                return f"{key} is not sent to {value}"
        for name, address in wanted.hosts.items():
            if (told := await self._names.ask(name)) != address:
                return f"the name {name} is {told or 'unknown'}, not {address}"
        missing = set(wanted.routes) - set(await self._routes.routes())
        return f"the gateway has no route {min(missing, key=lambda route: route.key)}" if missing else ""

    async def _apply(self) -> None:
        """Names before addresses before routes: whoever learns of something new can reach it."""
        wanted = project((await self._heads()).values(), self._views())
        try:
            await self._names.apply(wanted.hosts)
            await self._addresses.apply(wanted.maps)
            await self._routes.apply(wanted.routes)
        except FAILURES as failure:
            raise ServingProblem(str(failure)) from failure

    async def _heads(self) -> dict[str, Head]:
        seen = self._folder / "heads"
        try:
            records = await self._records.namespaces()
        except Refused:
            return msgspec.json.decode(seen.read_bytes(), type=dict[str, Head]) if seen.exists() else {}
        heads = {name: record.head for name, record in records.items() if record.head}
        self._write(seen, msgspec.json.encode(heads, order="deterministic"))
        return heads

    def _views(self) -> Iterable[View]:
        return [msgspec.json.decode(file.read_bytes(), type=View) for file in sorted(self._folder.glob("*.view"))]

    def _view(self, operation: str) -> Path:
        return self._folder / f"{operation}.view"

    def _write(self, file: Path, content: bytes) -> None:
        if file.exists() and file.read_bytes() == content:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_bytes(content)
        os.replace(fresh, file)


def _without_slots(elements: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """How many slots there are depends on every service, so whether one is served rightly must not."""
    return {(key.rpartition(" ")[0], value) for key, value in elements.items()}
