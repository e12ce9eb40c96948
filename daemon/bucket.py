"""Records in a bucket of entries: decoded when read, and changed by compare-and-set."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from daemon.wire import Problem, Refused
from dataplane.entry import Entry, Moved, Sight, StoreDown, TooLarge, key, parts

BUCKET = "records"
"""The one that holds them."""
ROUNDS = 200
"""How often a change is tried again after somebody else's came first; in each round one of the writers gets on."""

STORE_DOWN = (
    "the same again in some seconds: its server is started again by itself; if it stays down, "
    "ployzctl doctor, and the end of store/*/nats-server.log in its machine's data directory"
)
"""What to do about a store that does not answer."""

T = TypeVar("T")


class Kv(Protocol):
    """A bucket of entries, written by compare-and-set; each verb raises StoreDown without an answer."""

    async def get(self, key: str) -> Entry | None:
        """The newest entry of a key."""

    async def put(self, key: str, value: bytes, revision: int) -> int:
        """Write over exactly this revision (0: none) and return the new one. Raises Moved, or TooLarge."""

    async def all(self, prefix: str) -> dict[str, Entry]:
        """The newest entries of all keys below a prefix."""

    def watch(self) -> AsyncGenerator[tuple[str, Entry] | Sight, None]:
        """Every key's newest entry, then CURRENT, then each change; LOST while the store is out of sight."""


@dataclass(frozen=True)
class While:
    """A bucket that is written only while `so`, which raises otherwise. That is looked at before each write, thus after
    the read of what it is written over: whoever comes in between finds it, or is found."""

    kv: Kv
    so: Callable[[], Awaitable[None]]

    async def get(self, key: str) -> Entry | None:
        return await self.kv.get(key)

    async def put(self, key: str, value: bytes, revision: int) -> int:
        await self.so()
        return await self.kv.put(key, value, revision)

    async def all(self, prefix: str) -> dict[str, Entry]:
        return await self.kv.all(prefix)

    def watch(self) -> AsyncGenerator[tuple[str, Entry] | Sight, None]:
        return self.kv.watch()


async def read(kv: Kv, where: str, shape: type[T]) -> tuple[T | None, int]:
    """A record with its revision; None and 0 where there is none."""
    entry = await kv.get(where)
    return (decoded(where, entry.value, shape), entry.revision) if entry else (None, 0)


async def below(kv: Kv, shape: type[T], *path: str) -> dict[str, T]:
    """The records below a path, by the last part of their keys."""
    entries = await kv.all(key(*path))
    return {parts(where)[-1]: decoded(where, entry.value, shape) for where, entry in entries.items()}


async def write(kv: Kv, where: str, record: object, revision: int) -> int:
    """Write a record over a revision. Raises Moved, StoreDown, and Refused `record.too_large`."""
    try:
        return await kv.put(where, msgspec.json.encode(record), revision)
    except TooLarge as problem:
        raise Refused("record.too_large", f"cannot write the record {where}", str(problem)) from None


async def change(
    kv: Kv, where: str, shape: type[T], to: Callable[[T | None], T | None], *, always: bool = False
) -> tuple[T | None, int]:
    """Make the record what `to` makes of it, whoever else writes it meanwhile; return it with its revision.

    Where `to` returns None, or what is there already, nothing is written; with `always`, only where it is None.
    Raises Moved if others write it all the time, StoreDown if it never becomes another although one of them does (the
    store has no majority then, and has not noticed), and what `read` and `write` raise.
    """
    met = set()
    for _ in range(ROUNDS):
        now, revision = await read(kv, where, shape)
        met.add(revision)
        fresh = to(now)
        if fresh is None or (fresh == now and not always):
            return now, revision
        try:
            return fresh, await write(kv, where, fresh, revision)
        except Moved:
            continue
    if len(met) == 1:
        raise StoreDown(f"a change of {where} is under way, and the store does not get to its end")
    raise Moved(where)


async def replace(kv: Kv, where: str, before: object, anew: object) -> None:
    """Write a record over what it was `before`. Raises Moved if it is that no more, and what `read` and `write` do."""
    now, revision = await read(kv, where, type(before))
    if now != before:
        raise Moved(where)
    await write(kv, where, anew, revision)


def decoded(where: str, value: bytes, shape: type[T]) -> T:
    """The record in a value. Raises Problem `record.unreadable` if it is of another shape."""
    try:
        return msgspec.json.decode(value, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        why = f"{problem}; a newer ployz may have written it"
        raise Problem("record.unreadable", f"cannot read the record {where}", why, "ployzctl version") from None


async def answered(asking: Awaitable[T]) -> T:
    """What is asked of the records, with the store's own failures as refusals."""
    try:
        return await asking
    except Moved as moved:
        why = f"somebody else has changed {moved} meanwhile, again and again"
        raise Refused("record.moved", "cannot change the cluster's records", why, "the same again") from moved
    except StoreDown as problem:
        raise Refused("store.down", "cannot reach the cluster's records", str(problem), STORE_DOWN) from problem
