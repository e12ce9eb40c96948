"""Transfers between machines in memory: what one sends with a word, the other receives with it."""

import asyncio
from dataclasses import dataclass, field
from functools import partial

from dataplane import zfs_transfer
from dataplane.dataset import StreamProblem
from dataplane.zfs_stream import Beginning
from dataplane.zfs_transfer import Landing
from tests.fakes.touch import Touch, straight
from tests.fakes.zfs import FakeZfs, Kept


@dataclass(frozen=True)
class Sent:
    """A whole stream: the snapshot as it was kept, and the guid of its base, if it has one."""

    kept: Kept
    base: str


@dataclass
class Wires:
    """What was sent, by its word, and who waits for it. The next `breaks` streams break in the middle."""

    sent: dict[str, Sent | None] = field(default_factory=dict)
    waiting: dict[str, asyncio.Event] = field(default_factory=dict)
    breaks: int = 0

    def put(self, word: str, sent: Sent | None) -> None:
        """Have it at the other end; None stands for a connection that broke."""
        if self.breaks:
            self.breaks, sent = self.breaks - 1, None
        self.sent[word] = sent
        if word in self.waiting:
            self.waiting[word].set()

    async def take(self, word: str) -> Sent:
        """Wait for it. Raises StreamProblem if it broke."""
        self.waiting[word] = asyncio.Event()
        if word not in self.sent:
            await self.waiting[word].wait()
        if not (sent := self.sent[word]):
            raise StreamProblem("connection reset by peer")
        return sent


class FakeTransfers:
    """Of one machine. Implements `daemon.transfers.Transfers` on a fake ZFS."""

    def __init__(self, zfs: FakeZfs, touch: Touch = straight, wires: Wires | None = None) -> None:
        self._zfs, self._touch, self._wires = zfs, touch, wires or Wires()
        self.rates: list[int | None] = []
        self._came: dict[str, list[int]] = {}

    async def send(self, snapshot: str, base: str | None, to: str, word: str, rate: int | None) -> None:
        self.rates.append(rate)
        await self._touch(f"zfs send {snapshot}", partial(self._give, snapshot, base, word))

    def _give(self, snapshot: str, base: str | None, word: str) -> None:
        kept = self._zfs.kept[snapshot]
        assert not base or self._zfs.kept[base].number < kept.number, "not an earlier snapshot"
        self._wires.put(word, Sent(kept, self._zfs.kept[base].guid if base else ""))

    async def receive(self, snapshot: str, guid: str, word: str, by: str, onto: str | None) -> None:
        landing, datasets = Landing(snapshot, guid, by, onto), self._zfs.datasets
        if not await zfs_transfer.there(datasets, landing):
            sent = await self._wires.take(word)
            await zfs_transfer.require_fits(datasets, Beginning(sent.kept.guid, int(sent.base or 0)), landing)
            if not sent.base:
                await datasets.make_parents(landing.dataset, by)
            await self._touch(f"zfs receive {snapshot}", partial(self._land, landing, sent))

    def _land(self, landing: Landing, sent: Sent) -> None:
        """Whole or not at all; a filesystem that comes is like any other, which would be mounted at a boot."""
        self._zfs.require_room()
        kept, content = self._zfs.kept, dict(sent.kept.content)
        if landing.dataset not in kept:
            self._zfs._add(landing.dataset, Kept(0, {}, origin=landing.onto))
        now = kept[landing.dataset]
        assert not now.mounted, "destination has been modified"
        now.content, now.owner, now.mode = content, sent.kept.owner, sent.kept.mode
        frozen = Kept(0, dict(content), owner=now.owner, mode=now.mode, known=landing.guid, taken=sent.kept.created)
        self._zfs._add(landing.snapshot, frozen)
        self._came.setdefault(landing.dataset, []).append(sum(map(len, content.values())))

    async def moved(self, dataset: str) -> list[int]:
        return self._came.get(dataset, [])
