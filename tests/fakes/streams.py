"""Streams in memory: what clients were sent, and what a client that imports sends, on a fake ZFS."""

from collections.abc import Mapping
from functools import partial

from dataplane.dataset import Layout, StreamProblem
from tests.fakes.touch import Touch, straight
from tests.fakes.zfs import Content, FakeZfs, Kept


class FakeStreams:
    """`sent` holds the content that each operation's client has, `brings` what comes for a volume that is imported.

    What comes for a volume called `cut` ends early.
    """

    def __init__(self, zfs: FakeZfs, touch: Touch = straight) -> None:
        self._zfs, self._touch = zfs, touch
        self.sent: dict[str, Content] = {}
        self.brings: Content = {"row": b"imported"}

    async def send(self, snapshot: str, by: str) -> None:
        await self._touch(f"zfs send {snapshot}", partial(self._give, snapshot, by))

    async def pack(self, dataset: str, by: str) -> None:
        await self._touch(f"zfs pack {dataset}", partial(self._give, dataset, by))

    def _give(self, name: str, by: str) -> None:
        self.sent[by] = dict(self._zfs.kept[name].content)

    async def receive(self, name: str, by: str, marks: Mapping[str, str], layout: Layout) -> None:
        """As the real one: parents, then all of the data at once with its snapshot, then marks and mount."""
        await self._zfs.datasets.make_parents(name, by)
        await self._touch(f"zfs receive {name}", partial(self._land, name, by))
        await self._zfs.datasets.adopt(name, by, marks, layout)

    def _land(self, name: str, by: str) -> None:
        """A stream that is cut leaves nothing of what it began."""
        if "/cut/" in name:
            raise StreamProblem("incomplete stream")
        self._zfs.require_room()
        self._zfs._add(name, Kept(0, dict(self.brings)))
        self._zfs._add(f"{name}@{by}", Kept(0, dict(self.brings)))
