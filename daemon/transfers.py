"""What a machine does for volumes on their way, to clients and to other machines: parts of `daemon.node`."""

from collections.abc import Mapping
from typing import Protocol

from dataplane.dataset import Layout
from dataplane.zfs_transfer import Cargo


class Streams(Protocol):
    """The connection that the client of an operation opens for its bytes; each is used once.

    Each verb raises dataset.ZfsProblem or one of its kinds, also when no client comes or it goes away too early.
    """

    async def send(self, snapshot: str, by: str) -> None:
        """Send the client of `by` a snapshot, as a ZFS stream packed by zstd."""

    async def pack(self, dataset: str, by: str) -> None:
        """Send the client of `by` the files of a mounted dataset, as a tar packed by zstd."""

    async def receive(self, name: str, by: str, marks: Mapping[str, str], layout: Layout) -> None:
        """Make a mounted filesystem, marked `by`, of all that the client of `by` sends. Not to be repeated."""


class Transfers(Protocol):
    """Snapshots on their way between machines: each is a stream on a connection of its own, from program to program.

    Each verb raises dataset.ZfsProblem or one of its kinds; StreamProblem where the connection broke, or the other end
    did not come: what was under way is not there then, and both may be asked again, with another word.
    """

    async def send(self, cargo: Cargo, to: str, word: str, rate: int | None) -> None:
        """Send it to whoever receives with that word at the address `to`, with at most `rate` bytes a second; only the
        rest, if this machine can tell what that is. That all was sent does not say that it came."""

    async def receive(self, snapshot: str, guid: str, word: str, by: str, onto: str | None) -> None:
        """Have the snapshot of that guid, without marks, of what comes with the word. Its generation is `by`'s, is
        not mounted, and is made by the first that comes, or has the one that this came since as its newest, or is a
        clone of `onto`. One that is there is fine."""

    async def left(self, dataset: str) -> str | None:
        """The token of what is left in a generation of a stream that broke, for whoever sends the rest; None where
        nothing is, or where ZFS keeps nothing. Whoever receives into it still is ended first."""

    async def give_up(self, dataset: str, by: str) -> None:
        """Destroy what is left of a stream that broke in a generation of `by`, and the generation where it is nothing
        else. Nothing left is fine."""

    async def moved(self, dataset: str) -> list[int]:
        """The bytes that came for each snapshot of a generation, as the kernel counted them, in the order of coming; as
        far as this daemon knows. What came of a snapshot in several streams is added up."""
