"""The store: whether it decides, how far this machine's copy and clock are behind it."""

import time
from datetime import UTC, datetime
from typing import Protocol

from daemon.doctor.assumption import Finding, failure, ok, warning
from dataplane.entry import Entry, Moved, StoreDown, key

SLOW = 1.0
"""Seconds that a compare-and-set may take before somebody should look at the disk."""
APART = 2.0
"""Seconds that two clocks of a cluster may differ: times of operations are compared by people."""
HINT = "the daemon starts the store's server again by itself; if it does not come, look at store/*/nats-server.log"


class Kv(Protocol):
    """A bucket. Each verb raises StoreDown without an answer."""

    async def get(self, key: str) -> Entry | None: ...
    async def put(self, key: str, value: bytes, revision: int) -> int: ...


class Clocked(Protocol):
    """Raises StoreDown."""

    async def now(self) -> datetime: ...


async def decides(kv: Kv) -> Finding:
    """Have it refuse a write over what is not the newest: it takes the whole way of a write, and changes nothing."""
    where = key("cluster")
    entry = await kv.get(where)
    if entry is None:
        return failure("it answers, and holds no cluster", "ployzd founds one when it starts: start it again")
    began = time.monotonic()
    try:
        await kv.put(where, entry.value, entry.revision - 1)
    except Moved:
        return judge_speed(time.monotonic() - began)
    raise StoreDown("it took a write over a revision that is not the newest")


def judge_speed(seconds: float) -> Finding:
    says = f"it decides a compare-and-set in {seconds * 1000:.1f} ms"
    return ok(says) if seconds < SLOW else warning(says, "see what else keeps the disk or the processors busy")


def judge_mirror(stale_since: str | None) -> Finding:
    if stale_since:
        return warning(f"changes since {stale_since} may be missing in what is shown", HINT)
    return ok("it has all that the store has")


async def clock(store: Clocked) -> Finding:
    before = datetime.now(UTC)
    told = await store.now()
    return judge_clock(before, told, datetime.now(UTC))


def judge_clock(before: datetime, told: datetime, after: datetime) -> Finding:
    """The store's time was told between `before` and `after` of this machine's."""
    apart = max((before - told).total_seconds(), (told - after).total_seconds(), 0.0)
    if apart > APART:
        return warning(f"it is {apart:.1f} s away from the store's", "have both set by NTP (timedatectl)")
    return ok("it agrees with the store's")
