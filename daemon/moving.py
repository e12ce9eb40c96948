"""This machine's part of a store's move (`moves.Moves`): its servers, the old store's and the new one's."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from daemon.bucket import BUCKET
from daemon.membership import Membership
from daemon.meshing import Meshing
from daemon.moves import Move
from daemon.own_server import OwnServer
from daemon.store import Store
from dataplane import store_move
from dataplane.bus import Bus
from dataplane.kv import Kv
from dataplane.layout import Role
from dataplane.nats_server import NatsServer
from dataplane.store_move import MoveProblem
from dataplane.vault import Vault
from runtime.command import CommandError

GOES = 0.2
"""Seconds between a machine's word that it goes over and its going."""

log = logging.getLogger("ployzd")


class MoveFailed(CommandError):
    """The two stores are not what the move needs them to be."""


@dataclass
class Moving:
    """`kv` is the store that this machine goes by, whichever that is."""

    mesh: Meshing
    server: OwnServer
    kv: Kv
    vault: Vault

    def password(self, operation: str) -> str:
        return self.vault.fingerprint(b"holders of " + operation.encode())

    async def prepare(self, move: Move, password: str) -> None:
        if await self.turned(move):
            return
        await self.server.tidy(older=True)  # one that lingers may listen where the new one is to
        server = self._server(move)
        if server.role is Role.ONE_OF_THREE:
            server.agree(password)
        await server.ensure()

    async def discard(self, move: Move) -> None:
        if not await self.turned(move):
            await self._server(move).remove()

    async def form(self, move: Move) -> None:
        async with self._new(move) as new:
            await store_move.form(self.kv, new, len(move.cluster.store))

    async def sealed(self) -> bool:
        return await self.kv.stream.is_closed()

    async def seal(self) -> None:
        await store_move.close(self.kv)

    async def unseal(self) -> None:
        await store_move.reopen(self.kv)

    async def carry(self, move: Move) -> None:
        await self._between(move, store_move.carry)

    async def compare(self, move: Move) -> None:
        await self._between(move, store_move.compare)

    async def commit(self, move: Move, by: str) -> None:
        async with self._new(move) as new:
            await Store(new).commit_move(move.cluster, by)

    async def prepared(self, move: Move) -> bool:
        return self._server(move).home.exists()

    async def settle(self, move: Move, by: str) -> bool:
        async with self._new(move) as new:
            return await new.stream.is_there() and await Store(new).settle_move(move.cluster, by)

    async def turn(self, move: Move) -> None:
        task = asyncio.create_task(self._turn(move), name="going over to the new store")
        task.add_done_callback(_tell_failure)

    async def _turn(self, move: Move) -> None:
        await asyncio.sleep(GOES)
        await self.mesh.turn(move.cluster, move.machines)

    async def turned(self, move: Move) -> bool:
        return self.server.now.cluster.incarnation >= move.cluster.incarnation

    async def tidy(self) -> None:
        await self.server.tidy(older=True)

    async def _between(self, move: Move, part: Callable[[Kv, Kv], Awaitable[int]]) -> None:
        async with self._new(move) as new:
            try:
                await part(self.kv, new)
            except MoveProblem as problem:
                raise MoveFailed(str(problem)) from problem

    @asynccontextmanager
    async def _new(self, move: Move) -> AsyncIterator[Kv]:
        """The new store, by a connection of its own: the server may have ended with the machine meanwhile."""
        server = self._server(move)
        await server.ensure()
        bus = await Bus.connect(server.url, seed=server.seed(), inbox=server.inbox)
        try:
            yield Kv(bus, BUCKET)
        finally:
            await bus.close()

    def _server(self, move: Move) -> NatsServer:
        return self.server.of(Membership(move.cluster, self.mesh.membership.name, move.machines))


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (failure := task.exception()):
        log.error("cannot go over to the new store yet, and try again: %s", failure, exc_info=failure)
