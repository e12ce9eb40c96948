"""Streams that break on their way: gone on with where ZFS keeps what came, given up where it is of no use."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar, cast

import pytest

from daemon import sending
from daemon.node import Node
from daemon.sending import Way
from dataplane import zfs_transfer
from dataplane.dataset import Layout, NotOurs, StreamProblem, ZfsProblem
from dataplane.zfs import Zfs
from dataplane.zfs_stream import Beginning
from dataplane.zfs_transfer import Landing
from tests.fakes.transfers import FakeTransfers, Wires
from tests.fakes.zfs import FakeZfs

T = TypeVar("T")
ROOT = "tank/ployz"
SOURCE, TARGET, CLONE = (f"{ROOT}/shop/data/{last}" for last in ("op-a", "op-m", "op-m-1"))


@dataclass
class End:
    datasets: Zfs
    transfers: FakeTransfers


@dataclass
class Two:
    """Two machines, and a volume on the first one; `before` is what the second one has before anything came."""

    resumes: bool
    wires: Wires = field(default_factory=Wires)

    def __post_init__(self) -> None:
        self.here, self.there = (FakeZfs(ROOT, several=self.resumes) for _ in range(2))
        self.there._made += 1000
        both = {"m1": self.here, "m2": self.there}
        self.ends = {name: End(zfs.datasets, FakeTransfers(zfs, wires=self.wires)) for name, zfs in both.items()}
        asyncio.run(self.here.datasets.create(SOURCE, "op-a", {}, Layout()))
        self.before = set(self.there.kept)

    def at(self, machine: str) -> End:
        return self.ends[machine]

    def do(self, story: Callable[[Node], Awaitable[T]]) -> T:
        async def told() -> T:
            return await story(cast(Node, self))

        return asyncio.run(told())

    def taken(self, name: str, of: str = SOURCE) -> str:
        """A snapshot of what has changed; its guid."""
        self.here.write(of, name, name.encode() * 10)
        asyncio.run(self.here.datasets.snapshot([of], name, name))
        return self.here.kept[f"{of}@{name}"].guid

    def bring(self, upto: str | None, way: Way | None = None) -> list[tuple[bool, bool]]:
        """Have it on the other one; of each stream for that, whether it was only the rest of one, and broke."""
        known = set(self.wires.sent)
        self.do(lambda node: sending.bring(way or self.way(), upto, node, "op-m"))
        return [(one.resumes, one.breaks) for word, one in self.wires.sent.items() if word not in known]

    def way(self, **more: str | tuple[str, ...] | None) -> Way:
        told = {"source": SOURCE, "guid": self.here.kept[SOURCE].guid, "dataset": TARGET, **more}
        return Way(machine="m1", to="m2", address="", **told)  # type: ignore[arg-type]

    def left(self, dataset: str = TARGET) -> str | None:
        return asyncio.run(self.there.datasets.left(dataset))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "AGAIN", (0.0, 0.0))


def whole(two: Two) -> Way:
    two.taken("op-m-1")
    return two.way()


def increment(two: Two) -> Way:
    two.taken("op-m-0")
    two.bring("op-m-0")
    two.taken("op-m-1")
    return two.way()


def clone(two: Two) -> Way:
    two.taken("op-m-0")
    two.bring("op-m-0")
    left, origin = f"{ROOT}/shop/data/op-k", f"{SOURCE}@op-m-0"
    asyncio.run(two.here.datasets.clone(origin, left, "op-k", {}, Layout()))
    along = (two.taken("op-m-1", left),)
    guid = two.here.kept[left].guid
    return two.way(source=left, guid=guid, dataset=CLONE, along=along, origin=origin, onto=f"{TARGET}@op-m-0")


kinds = pytest.mark.parametrize("kind", [whole, increment, clone], ids=lambda kind: kind.__name__)


@kinds
def test_a_stream_that_breaks_is_gone_on_with(kind: Callable[[Two], Way]) -> None:
    two = Two(resumes=True)
    way = kind(two)
    two.wires.breaks = 2
    assert two.bring("op-m-1", way) == [(False, True), (True, True), (True, False)]
    assert two.left(way.dataset) is None
    assert not any("%" in name for name in two.there.kept)
    source, target = two.here.kept[f"{way.source}@op-m-1"], two.there.kept[f"{way.dataset}@op-m-1"]
    assert (target.guid, target.content) == (source.guid, source.content)
    last = two.do(lambda node: sending.moved(way, node))[-1]
    assert last == sum(map(len, source.content.values())) + 3, "what came of each stream is added up"


@kinds
def test_where_zfs_keeps_nothing_it_is_sent_anew(kind: Callable[[Two], Way]) -> None:
    two = Two(resumes=False)
    way = kind(two)
    two.wires.breaks = 2
    assert two.bring("op-m-1", way) == [(False, True), (False, True), (False, False)]


@kinds
@pytest.mark.parametrize("resumes", [False, True])
def test_what_came_in_part_goes_with_all_that_came(kind: Callable[[Two], Way], resumes: bool) -> None:
    two = Two(resumes=resumes)
    way = kind(two)
    kept = {name for name in two.there.kept if name.startswith(TARGET) and kind is clone}
    two.wires.breaks, two.wires.down = 1, True
    with pytest.raises(StreamProblem):
        two.bring("op-m-1", way)
    assert bool(two.left(way.dataset)) == resumes
    two.do(lambda node: sending.take_back(way, node, "op-m", {}))
    parents = {f"{ROOT}/shop", f"{ROOT}/shop/data"} if kept else set()
    assert set(two.there.kept) == two.before | parents | kept


def test_tries_that_come_further_are_as_good_as_the_first() -> None:
    two = Two(resumes=True)
    two.taken("op-m-1")
    two.wires.breaks = 9
    assert len(two.bring("op-m-1")) == 10
    two = Two(resumes=False)
    two.taken("op-m-1")
    two.wires.breaks = 9
    with pytest.raises(StreamProblem):
        two.bring("op-m-1")
    assert two.wires.breaks == 6


def broken(two: Two) -> None:
    """Nothing has come but the beginning of `op-m-1`."""
    two.taken("op-m-1")
    two.wires.breaks, two.wires.down = 1, True
    with pytest.raises(StreamProblem):
        two.bring("op-m-1")
    two.wires.down = False
    assert two.left()


def test_a_daemon_that_was_started_anew_goes_on_with_it() -> None:
    two = Two(resumes=True)
    broken(two)
    two.ends["m2"].transfers = FakeTransfers(two.there, wires=two.wires)
    assert two.bring("op-m-1") == [(True, False)]


def test_what_the_source_has_no_more_is_given_up_for_what_it_has() -> None:
    two = Two(resumes=True)
    broken(two)
    two.here.obey("destroy", f"{SOURCE}@op-m-1")
    guid = two.taken("op-m-2")
    assert two.bring("op-m-2") == [(False, False)]
    assert two.there.kept[f"{TARGET}@op-m-2"].guid == guid
    assert two.left() is None


def test_what_is_left_of_another_snapshot_is_given_up_for_the_one_that_is_wanted() -> None:
    two = Two(resumes=True)
    broken(two)
    two.taken("op-m-2")
    assert two.bring("op-m-2") == [(True, False), (False, False)], "only the stream tells what its token was of"
    assert two.there.snapshots(TARGET) == [f"{TARGET}@op-m-2"]


def test_what_is_left_in_a_strangers_is_not_touched() -> None:
    two = Two(resumes=True)
    broken(two)
    with pytest.raises(NotOurs):
        asyncio.run(two.there.datasets.give_up(TARGET, "op-n"))
    two.there.kept[TARGET].marks["operation"] = "op-n"
    with pytest.raises(NotOurs):
        asyncio.run(two.there.datasets.give_up(TARGET, "op-m"))
    with pytest.raises(NotOurs):
        two.do(lambda node: sending.take_back(two.way(), node, "op-m", {}))
    assert two.left()


def test_what_is_not_given_up_is_told() -> None:
    two = Two(resumes=True)
    broken(two)
    two.there.busy.add(TARGET)
    with pytest.raises(ZfsProblem, match="busy"):
        asyncio.run(two.there.datasets.give_up(TARGET, "op-m"))


REST, ANEW, OTHER = "the rest", "anew", "the rest of another one"


@pytest.mark.parametrize(
    ("begun", "comes", "fits", "stays"),
    [
        (True, REST, True, True),
        (True, ANEW, True, False),
        (True, OTHER, False, False),
        (False, REST, False, False),
        (False, ANEW, True, False),
    ],
)
def test_what_comes_is_told_by_its_first_record(begun: bool, comes: str, fits: bool, stays: bool) -> None:
    two = Two(resumes=True)
    if begun:
        broken(two)
    else:
        two.taken("op-m-1")
    guid = two.here.kept[f"{SOURCE}@op-m-1"].guid
    beginning = Beginning("12345" if comes == OTHER else guid, 0, comes != ANEW)
    landing = Landing(f"{TARGET}@op-m-1", guid, "op-m")
    try:
        asyncio.run(zfs_transfer.require_fits(two.there.datasets, beginning, landing))
    except StreamProblem:
        assert not fits
    else:
        assert fits
    assert bool(two.left()) == stays


def test_a_rest_is_not_added_to_another_base() -> None:
    two = Two(resumes=True)
    increment(two)
    two.wires.breaks, two.wires.down = 1, True
    with pytest.raises(StreamProblem):
        two.bring("op-m-1")
    guid = two.here.kept[f"{SOURCE}@op-m-1"].guid
    landing = Landing(f"{TARGET}@op-m-1", guid, "op-m")
    with pytest.raises(ZfsProblem, match="what comes changes 12345"):
        asyncio.run(zfs_transfer.require_fits(two.there.datasets, Beginning(guid, 12345, True), landing))
    assert two.left(), "it may be right"


@pytest.mark.parametrize("resumes", [False, True])
@pytest.mark.parametrize("last", ["op-m-0", "op-m-1"])
def test_what_came_of_a_program_that_was_killed_is_found_by_the_next_look(resumes: bool, last: str) -> None:
    """ZFS goes on with all that it has of a stream, and may end it only once the same is on its way again."""
    two = Two(resumes=resumes)
    increment(two)
    two.bring("op-m-1")
    base = int(two.here.kept[f"{SOURCE}@op-m-0"].guid) if last == "op-m-1" else 0
    guid = two.here.kept[f"{SOURCE}@{last}"].guid
    landing = Landing(f"{TARGET}@{last}", guid, "op-m")
    with pytest.raises(StreamProblem, match="came meanwhile"):
        asyncio.run(zfs_transfer.require_fits(two.there.datasets, Beginning(guid, base), landing))
