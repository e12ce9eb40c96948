"""A store's way to other machines, part by part: close the old one, form the new one, carry the records, compare.

The new servers run beside the old ones (see `dataplane.layout.PORTS`), so the old store is whole, and can be opened
again, until its users are pointed at the new one. Whoever does a part needs a connection to each; everything they
need to know is in the two stores, so each part can be done again by anybody after a crash.

Undone: `close` by `reopen`, everything else by removing the new servers with what they keep. Once the users are
pointed at the new store, the old one stays closed, and its servers are stopped and removed.
"""

import asyncio
from collections.abc import Iterable

from dataplane.bus import RETRY
from dataplane.entry import Entry, Moved, StoreDown
from dataplane.kv import Kv

ROOM = 1000
"""Revisions that the new store leaves out above the old one's last: marks still come into that one."""
AT_ONCE = 32
"""Records that are on their way at a time."""


class MoveProblem(Exception):
    """The two stores are not what the move needs them to be. Nothing was changed."""


async def close(old: Kv) -> None:
    """Have nobody write into the old store any more; what was sent before is in it, or refused. Raises StoreDown."""
    await old.stream.close()
    await old.stream.mark()


async def reopen(old: Kv) -> None:
    """Have it written to again. Raises StoreDown."""
    await old.stream.open()


async def form(old: Kv, new: Kv, replicas: int, *, within: float = 60.0) -> None:
    """Make the new, empty store once its servers found each other; its revisions go on above those of the old one.

    Raises StoreDown if it is not whole after `within` seconds, on as many machines as it should be.
    """
    first = await old.stream.mark() + ROOM
    why = "nobody was asked"
    try:
        async with asyncio.timeout(within):
            while True:
                try:
                    await new.found(replicas=replicas, first=first)
                    if await _is_whole(new, replicas):
                        return
                    why = "not all of its machines have it"
                except StoreDown as problem:
                    why = str(problem)
                await asyncio.sleep(RETRY)
    except TimeoutError:
        raise StoreDown(f"the new store was not there after {within:g} seconds: {why}") from None


async def carry(old: Kv, new: Kv) -> int:
    """Write all records of the old store into the new one, and return how many there are.

    Raises MoveProblem if the old one is open, or the new one has another record in a place; StoreDown.
    """
    if not await old.stream.is_closed():
        raise MoveProblem("the old store is open: somebody may write into it")
    entries = sorted((await old.all()).items(), key=lambda each: each[1].revision)
    for begin in range(0, len(entries), AT_ONCE):
        some = entries[begin : begin + AT_ONCE]
        await asyncio.gather(*(_write(new, where, entry.value) for where, entry in some))
    return len(entries)


async def compare(old: Kv, new: Kv) -> int:
    """Make sure that the new store has exactly the old one's records, each of a newer revision; return how many.

    And that nobody writes into the old one. Raises MoveProblem if it is otherwise; StoreDown.
    """
    before = await old.stream.mark()
    there, here = await old.all(), await new.all()
    if not await old.stream.is_closed() or await old.stream.mark() != before + 1:
        raise MoveProblem("the old store is open: somebody may write into it")
    if apart := _apart(there, here):
        raise MoveProblem(f"the new store has not the same in {', '.join(sorted(apart)[:5])}")
    if any(entry.revision <= before for entry in here.values()):
        raise MoveProblem("the new store has revisions that the old one had already")
    return len(here)


def _apart(there: dict[str, Entry], here: dict[str, Entry]) -> Iterable[str]:
    """The keys under which not both have the same."""
    return [key for key in there | here if key not in there or key not in here or there[key].value != here[key].value]


async def _write(new: Kv, where: str, value: bytes) -> None:
    try:
        await new.put(where, value, 0)
    except Moved:
        found = await new.get(where)
        if not found or found.value != value:
            raise MoveProblem(f"the new store has another record in {where} already") from None


async def _is_whole(new: Kv, replicas: int) -> bool:
    info = await new.stream.info()
    return info.config.num_replicas == replicas == 1 + sum(peer.current for peer in info.cluster.replicas)
