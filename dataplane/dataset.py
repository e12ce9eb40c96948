"""What ZFS holds, as the house sees it: datasets, snapshots and the marks on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MARK = "ployz:"
"""The prefix of the user properties that are ours; a mark's key is what follows it."""

MARKS = ("operation", "namespace", "volume", "epoch", "state", "name")
"""The keys of all marks there are. A look asks ZFS for these and no others, so only these can be set."""


@dataclass(frozen=True)
class Dataset:
    """A filesystem or a snapshot (`name` has an `@`), with its own marks only, never inherited ones.

    `origin` is the snapshot that a clone came from. `alone` is the bytes that only it holds (`used` of a
    snapshot, `usedbydataset` of a filesystem); `used` also those of its snapshots. `created` is when, in seconds
    since 1970, `refers` the bytes that can be read in it. `path` is where it is mounted in this mount namespace,
    or None. Of two snapshots of one filesystem the older one has the lower `order`, where one look told both. A stream
    has `ratio` bytes for each that is stored.
    """

    name: str
    guid: str
    origin: str | None = None
    marks: Mapping[str, str] = field(default_factory=dict)
    alone: int = 0
    path: str | None = None
    used: int = 0
    refers: int = 0
    created: int = 0
    order: int = 0
    ratio: float = 1.0


@dataclass(frozen=True)
class Layout:
    """What a new filesystem is given besides its name: a quota in bytes, and who owns its root (None: root, 0755)."""

    quota: int | None = None
    owner: str | None = None
    mode: str | None = None


@dataclass(frozen=True)
class Space:
    """Bytes of the pool: in use, and in all."""

    used: int
    size: int


class ZfsProblem(Exception):
    """ZFS did not do what it was asked for, or what it says cannot be relied upon."""


class NotOurs(ZfsProblem):
    """The name is taken by something that bears no mark of this operation; it was not touched."""


class PoolUnavailable(ZfsProblem):
    """The pool cannot be reached, is suspended or did not answer in time."""


class NoRoom(ZfsProblem):
    """The pool or a quota is full."""


class StreamProblem(ZfsProblem):
    """What came is nothing that a volume can be made of, or ended too early; or whoever it was for went away."""
