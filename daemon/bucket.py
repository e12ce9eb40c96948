"""Records in a bucket of entries: decoded when read, and changed by compare-and-set."""

from collections.abc import AsyncGenerator, Callable
from typing import Protocol, TypeVar

import msgspec

from daemon.wire import Problem, Refused
from dataplane.entry import Entry, Moved, Sight, TooLarge, key, parts

ROUNDS = 200
"""How often a change is tried again after somebody else's came first; in each round one of the writers gets on."""

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
    Raises Moved if others write it all the time, and what `read` and `write` raise.
    """
    for _ in range(ROUNDS):
        now, revision = await read(kv, where, shape)
        fresh = to(now)
        if fresh is None or (fresh == now and not always):
            return now, revision
        try:
            return fresh, await write(kv, where, fresh, revision)
        except Moved:
            continue
    raise Moved(where)


def decoded(where: str, value: bytes, shape: type[T]) -> T:
    """The record in a value. Raises Problem `record.unreadable` if it is of another shape."""
    try:
        return msgspec.json.decode(value, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        why = f"{problem}; a newer ployz may have written it"
        raise Problem("record.unreadable", f"cannot read the record {where}", why, "ployzctl version") from None
