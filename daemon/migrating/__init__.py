"""The plan of moving a service to another machine: its instances as a change, and the way of each of its volumes.

It makes no deploy point: code and data stay what they are, and so does the number of the deploy.
"""

from msgspec import Struct

from daemon.change import Change
from daemon.records import Volume
from daemon.sending import Way
from daemon.wire import Foreseen
from dataplane.dataset import Layout

MOST = 8
"""Rounds until the writer is stopped, however much it writes meanwhile."""
SOON = 1.0
"""Seconds; a round that takes less is followed by the stop: the last one will take as little."""


CARRIES = 50 * 2**20
"""Bytes that are taken to go in a second, where it is only to be told how long something may take."""
STARTS = 1.0
"""Seconds that a stop and a start are taken for."""


class Move(Struct, frozen=True):
    """One volume. `rounds` are the names of the snapshots that are taken of it, in their order, as far as they are
    needed; `bytes` are about what goes in the first one, and `stored` what they take there, where `free` are free;
    `past` are generations that were left, as far as somebody needs them; the data of those `behind` stays. On the
    machines `keeping` something of it was kept for later moves and copies that may be nobody's any more."""

    volume: Volume
    way: Way
    rounds: tuple[str, ...]
    marks: dict[str, str]
    layout: Layout
    stored: int
    bytes: int
    free: int
    past: tuple[Way, ...] = ()
    behind: tuple[int, ...] = ()
    keeping: tuple[str, ...] = ()


class Plan(Struct, frozen=True):
    """`change` has no data in it, for that goes its own way: `moves`. A preview says what is `foreseen`."""

    change: Change
    service: str
    source: str
    to: str
    moves: tuple[Move, ...]
    foreseen: Foreseen = Foreseen()
    warnings: tuple[str, ...] = ()


def shared(rate: int | None, number: int) -> int | None:
    """What each of so many streams has of a rate."""
    return max(1, rate // max(1, number)) if rate else None


def rounds(by: str) -> tuple[str, ...]:
    """The snapshots of each round, and of the last one, in which nothing is written any more."""
    return tuple(f"{by}-{number}" for number in range(1, MOST + 2))
