"""What a running nats-server tells about itself, and what its keeper may do to its connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from dataplane.bus import Bus
from dataplane.entry import StoreDown

GREETING = 1.0
"""Seconds until whoever listens on our port and says nothing is not our server."""

T = TypeVar("T")


class Greeting(Struct):
    """The first that a server says to whoever connects. Clients may connect only once its records are loaded."""

    server_id: str
    server_name: str
    jetstream: bool = False


class Link(Struct, frozen=True):
    """A leaf that is linked to a server, or a server that this leaf is linked to: what it calls itself, and where."""

    id: int
    name: str
    ip: str


class _Links(Struct):
    leafs: list[Link] = field(default_factory=list)


class _Varz(Struct):
    config_digest: str = ""


class _Told(Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")


async def greeted(port: int) -> Greeting | None:
    """What the server at this port of loopback says first; None if there is none, or it is no nats-server."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return None
    try:
        async with asyncio.timeout(GREETING):
            line = await reader.readline()
        return msgspec.json.decode(line.removeprefix(b"INFO "), type=Greeting)
    except (OSError, ValueError):
        return None
    finally:
        writer.close()


class Keeper:
    """One who may ask a server about itself. Each verb raises StoreDown without an answer."""

    def __init__(self, bus: Bus, server: str) -> None:
        self._bus, self._server = bus, server

    async def digest(self) -> str:
        """The digest of the configuration that is in force."""
        return (await self._asked("VARZ", _Varz)).config_digest

    async def links(self) -> list[Link]:
        """The links to leaves, or of this leaf."""
        return (await self._asked("LEAFZ", _Links)).leafs

    async def cut(self, link: Link) -> None:
        """Close a link. Who may will make it again."""
        await self._ask("KICK", {"cid": link.id})

    async def _asked(self, what: str, shape: type[T]) -> T:
        try:
            return msgspec.json.decode((await self._ask(what, {})).data, type=shape)
        except msgspec.MsgspecError as problem:
            raise StoreDown(f"what the server says of itself makes no sense: {problem}") from problem

    async def _ask(self, what: str, about: object) -> _Told:
        told = await self._bus.ask(f"$SYS.REQ.SERVER.{self._server}.{what}", msgspec.json.encode(about))
        return msgspec.json.decode(told, type=_Told)


@asynccontextmanager
async def keeper(port: int, seed: str) -> AsyncIterator[Keeper]:
    """The keeper of the server at this port of loopback. Raises StoreDown if nobody is there."""
    greeting = await greeted(port)
    if not greeting:
        raise StoreDown("the server does not answer")
    bus = await Bus.connect(f"nats://127.0.0.1:{port}", seed=seed, inbox="inbox.keeper")
    try:
        yield Keeper(bus, greeting.server_id)
    finally:
        await bus.close()
