"""Stores in memory, on servers of machines, and one that moves: sealed, formed, carried, compared, gone over to."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from daemon.moves import Move
from daemon.store import Store
from dataplane.entry import Entry, Sight, StoreDown
from runtime.command import CommandError
from tests.fakes.kv import FakeKv
from tests.fakes.touch import Touch, straight


@dataclass
class FakeStores:
    """Every store that there is, by the operation that formed it; the first one by the empty name."""

    stores: dict[str, FakeKv] = field(default_factory=dict)

    def of(self, name: str) -> FakeKv:
        if name not in self.stores:
            raise StoreDown(f"there is no store {name}")
        return self.stores[name]


@dataclass
class FakeMoves:
    """One machine's part. `at` names the store that it goes by, `servers` those that it has a server of, with their
    incarnations.

    Its daemon's records are in `Pointed`, which is that store whichever it is.
    """

    stores: FakeStores
    touch: Touch = straight
    at: str = ""
    incarnation: int = 1
    servers: dict[str, int] = field(default_factory=lambda: {"": 1})

    def password(self, operation: str) -> str:
        return f"password of {operation}"

    async def prepare(self, move: Move, password: str) -> None:
        await self.touch("moves prepare", lambda: self._has(move))

    def _has(self, move: Move) -> None:
        self.servers[move.cluster.moved] = move.cluster.incarnation

    async def discard(self, move: Move) -> None:
        def effect() -> None:
            if self.at != move.cluster.moved:
                self.servers.pop(move.cluster.moved, None)

        await self.touch("moves discard", effect)

    async def form(self, move: Move) -> None:
        def effect() -> None:
            self._require_servers(move)
            old = self.stores.of(self.at)
            fresh = FakeKv(old._touch)
            fresh.revision = old.revision + 1000
            self.stores.stores.setdefault(move.cluster.moved, fresh)

        await self.touch("moves form", effect)

    async def sealed(self) -> bool:
        return self.stores.of(self.at).sealed

    async def seal(self) -> None:
        await self.touch("moves seal", lambda: self._seal(True))

    async def unseal(self) -> None:
        await self.touch("moves unseal", lambda: self._seal(False))

    def _seal(self, sealed: bool) -> None:
        self.stores.of(self.at).sealed = sealed

    async def carry(self, move: Move) -> None:
        new = self._new(move)
        for where, entry in sorted(self.stores.of(self.at).entries.items(), key=lambda each: each[1].revision):
            if where not in new.entries:
                await self.touch("moves carry", _writes(new, where, entry))

    async def compare(self, move: Move) -> None:
        old, new = self.stores.of(self.at), self._new(move)
        there = {where: entry.value for where, entry in old.entries.items()}
        if not old.sealed or there != {where: entry.value for where, entry in new.entries.items()}:
            raise CommandError("the stores are not the same")

    async def commit(self, move: Move, by: str) -> None:
        await self.touch("moves commit", lambda: None)  # on its way, before it reaches the new store
        await Store(self._new(move)).commit_move(move.cluster, by)

    async def prepared(self, move: Move) -> bool:
        return move.cluster.moved in self.servers

    async def settle(self, move: Move, by: str) -> bool:
        self._require_servers(move)
        formed = move.cluster.moved in self.stores.stores
        return formed and await Store(self._new(move)).settle_move(move.cluster, by)

    async def turn(self, move: Move) -> None:
        def effect() -> None:
            if self.incarnation < move.cluster.incarnation:
                self.at, self.incarnation = move.cluster.moved, move.cluster.incarnation
                self._has(move)

        await self.touch("moves turn", effect)

    async def turned(self, move: Move) -> bool:
        return self.incarnation >= move.cluster.incarnation

    async def tidy(self) -> None:
        def effect() -> None:
            newer = {name: n for name, n in self.servers.items() if name == self.at or n > self.incarnation}
            self.servers = newer

        await self.touch("moves tidy", effect)

    def _require_servers(self, move: Move) -> None:
        if move.cluster.moved not in self.servers:
            raise StoreDown("no server of the new store runs here")

    def _new(self, move: Move) -> FakeKv:
        self._require_servers(move)
        return self.stores.of(move.cluster.moved)


def _writes(kv: FakeKv, where: str, entry: Entry) -> Callable[[], int]:
    return lambda: kv._write(where, entry.value, 0)


@dataclass
class Pointed:
    """The bucket that a machine's daemon uses: that of the store which the machine goes by just now. What is written
    there is a touch of that machine."""

    moves: FakeMoves

    @property
    def now(self) -> FakeKv:
        return self.moves.stores.of(self.moves.at)

    async def get(self, key: str) -> Entry | None:
        return await self.now.get(key)

    async def put(self, key: str, value: bytes, revision: int) -> int:
        return await self.now.put_by(self.moves.touch, key, value, revision)

    async def all(self, prefix: str) -> dict[str, Entry]:
        return await self.now.all(prefix)

    def watch(self) -> AsyncGenerator[tuple[str, Entry] | Sight, None]:
        return self.now.watch()
