"""Transfers between machines in memory: what one sends with a word, the other receives with it."""

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial

from dataplane import zfs_transfer
from dataplane.dataset import StreamProblem
from dataplane.zfs_stream import Beginning
from dataplane.zfs_transfer import Cargo, Landing
from tests.fakes.touch import Touch, straight
from tests.fakes.zfs import HIDDEN, FakeZfs, Kept


@dataclass(frozen=True)
class Sent:
    """A stream: the snapshot as it was kept, and the guid of its base, if it has one. It may be only the rest of one
    that broke, or break itself."""

    kept: Kept
    base: str
    resumes: bool = False
    breaks: bool = False


@dataclass
class Wires:
    """What was sent, by its word, and who waits for it. The next `breaks` streams break in the middle; then, if the
    line is `down`, none comes any more."""

    sent: dict[str, Sent] = field(default_factory=dict)
    waiting: dict[str, asyncio.Event] = field(default_factory=dict)
    breaks: int = 0
    down: bool = False

    def put(self, word: str, sent: Sent) -> None:
        """Have it at the other end."""
        if self.breaks:
            self.breaks, sent = self.breaks - 1, replace(sent, breaks=True)
        self.sent[word] = sent
        if word in self.waiting:
            self.waiting[word].set()

    async def take(self, word: str) -> Sent:
        """Wait for it. Raises StreamProblem if nothing of it comes."""
        self.waiting[word] = asyncio.Event()
        if word not in self.sent:
            await self.waiting[word].wait()
        if self.down and not self.sent[word].breaks:
            raise StreamProblem("no route to host")
        return self.sent[word]


class FakeTransfers:
    """Of one machine. Implements `daemon.transfers.Transfers` on a fake ZFS."""

    def __init__(self, zfs: FakeZfs, touch: Touch = straight, wires: Wires | None = None) -> None:
        self._zfs, self._touch, self._wires = zfs, touch, wires or Wires()
        self.rates: list[int | None] = []
        self._came: dict[str, dict[str, int]] = {}

    async def send(self, cargo: Cargo, to: str, word: str, rate: int | None) -> None:
        self.rates.append(rate)
        await self._touch(f"zfs send {cargo.snapshot}", partial(self._give, cargo, word))

    def _give(self, cargo: Cargo, word: str) -> None:
        self._wires.put(word, self._rest(cargo) or self._whole(cargo))

    def _rest(self, cargo: Cargo) -> Sent | None:
        """What `zfs send -t` sends, whatever snapshot that is of; None if the token tells of what is not here."""
        here = {kept.guid: kept for name, kept in self._zfs.kept.items() if "@" in name}
        guid, base, _ = (cargo.left or "--").split("-")
        return Sent(here[guid], base, resumes=True) if guid in here and (not base or base in here) else None

    def _whole(self, cargo: Cargo) -> Sent:
        kept, base = self._zfs.kept[cargo.snapshot], self._zfs.kept[cargo.base] if cargo.base else None
        assert not base or base.number < kept.number, "not an earlier snapshot"
        return Sent(kept, base.guid if base else "")

    async def receive(self, snapshot: str, guid: str, word: str, by: str, onto: str | None) -> None:
        landing, datasets = Landing(snapshot, guid, by, onto), self._zfs.datasets
        if await zfs_transfer.there(datasets, landing):
            return
        sent = await self._wires.take(word)
        beginning = Beginning(sent.kept.guid, int(sent.base or 0), sent.resumes)
        await zfs_transfer.require_fits(datasets, beginning, landing)
        if not sent.base:
            await datasets.make_parents(landing.dataset, by)
        if datasets.abilities.resumes:
            await self._touch(f"zfs receive -s {snapshot}", partial(self._begin, landing, sent))
        if sent.breaks:
            raise StreamProblem("connection reset by peer")
        await self._touch(f"zfs receive {snapshot}", partial(self._land, landing, sent))

    def _begin(self, landing: Landing, sent: Sent) -> None:
        """Some of it is there: in a filesystem that is made for it, or beside the one that it is to be added to."""
        self._zfs.require_room()
        beside = bool(sent.base) and not landing.onto
        part = landing.dataset + HIDDEN if beside else landing.dataset
        if not sent.resumes:
            origin = self._zfs.snapshots(landing.dataset)[-1] if beside else landing.onto
            assert part not in self._zfs.kept, "destination contains partially-complete state"
            self._zfs._add(part, Kept(0, {}, origin=origin))
        self._zfs._made += 1
        self._zfs.kept[part].left = f"{sent.kept.guid}-{sent.base}-{self._zfs._made}"
        self._count(landing, 1)

    def _land(self, landing: Landing, sent: Sent) -> None:
        """Whole or not at all; a filesystem that comes is like any other, which would be mounted at a boot."""
        self._zfs.require_room()
        kept, content = self._zfs.kept, dict(sent.kept.content)
        kept.pop(landing.dataset + HIDDEN, None)
        if landing.dataset not in kept:
            self._zfs._add(landing.dataset, Kept(0, {}, origin=landing.onto))
        now = kept[landing.dataset]
        assert not now.mounted, "destination has been modified"
        now.content, now.owner, now.mode, now.left = content, sent.kept.owner, sent.kept.mode, ""
        frozen = Kept(0, dict(content), owner=now.owner, mode=now.mode, known=landing.guid, taken=sent.kept.created)
        self._zfs._add(landing.snapshot, frozen)
        self._count(landing, sum(map(len, content.values())))

    def _count(self, landing: Landing, bytes: int) -> None:
        counts = self._came.setdefault(landing.dataset, {})
        counts[landing.snapshot] = counts.get(landing.snapshot, 0) + bytes

    async def left(self, dataset: str) -> str | None:
        return await self._zfs.datasets.left(dataset)

    async def give_up(self, dataset: str, by: str) -> None:
        await self._zfs.datasets.give_up(dataset, by)

    async def moved(self, dataset: str) -> list[int]:
        return list(self._came.get(dataset, {}).values())
