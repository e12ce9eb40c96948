"""The results of requests about volumes. Sizes are bytes, times RFC 3339 UTC."""

from typing import Literal

from msgspec import Struct


class CopyRow(Struct, frozen=True):
    """A copy of a volume: it is what the volume was `at` that time. `written` are about the bytes that were written
    since then, and would be lost with the volume; None where nobody can tell."""

    machine: str
    generation: str
    at: str
    written: int | None


class VolumeRow(Struct, frozen=True):
    """`bytes` is what can be read in it; `alone` what would be free without it, its snapshots included.

    Both are None while its machine does not answer. `copies` are those on machines that do.
    """

    namespace: str
    name: str
    machine: str
    generation: str
    epoch: int
    bytes: int | None
    alone: int | None
    quota: int | None
    mounted: bool
    copies: list[CopyRow]


class KeptRow(Struct, frozen=True):
    """A generation that no name points at any more: `since` when, by which operation, and the bytes it alone holds.

    `needed` says by whom its snapshots are needed; `snapshot` is the newest of them, which a restore may name. One that
    was `adopted` came with its machine, and only a purge destroys any of it.
    """

    namespace: str
    name: str
    machine: str
    generation: str
    since: str
    operation: str
    bytes: int
    needed: list[str]
    snapshot: str
    adopted: bool


class SnapshotRow(Struct, frozen=True):
    """`name` is what a user called it, `bytes` what it alone holds, `needed` by whom it is needed."""

    snapshot: str
    name: str | None
    guid: str
    at: str
    operation: str
    generation: str
    machine: str
    bytes: int
    needed: list[str]


class VolumeChanged(Struct, frozen=True):
    """kind `volume`: what was done to which volume. Fields that do not apply are null."""

    namespace: str
    name: str
    machine: str
    did: Literal["snapshot", "resize", "purge", "export", "import", "clone", "send"]
    generation: str | None = None
    snapshot: str | None = None
    guid: str | None = None
    quota: int | None = None
    bytes: int | None = None
