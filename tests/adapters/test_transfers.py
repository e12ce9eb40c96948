"""Volumes on their way between machines, over real connections, programs and ZFS: whole, cut, late, from strangers.

Two pools of one ZFS stand for two machines; loopback addresses for theirs on the mesh.
"""

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, TypeVar, cast

import pytest
from msgspec.structs import replace

from daemon import lineage, sending
from daemon.migrating.planning import estimate
from daemon.node import Node
from daemon.records import Machine
from daemon.sending import Way
from daemon.transferring import Transferring
from dataplane.dataset import Layout, StreamProblem
from dataplane.zfs import Zfs
from tests.adapters.pools import RealGround, fresh_root, made, opened_pool, snapped

T = TypeVar("T")
NUMBERS = count()
FROM, TO, THROUGH = "127.0.0.1", "127.0.0.2", "127.0.0.3"
WORD = "ab" * 32
MIB = 2**20
WORDS = 40
"""Bytes after which a connection has at least begun with something of a stream."""


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Zfs, Zfs]]:
    folder = tmp_path_factory.mktemp
    with opened_pool(folder("near"), "near") as near, opened_pool(folder("far"), "far") as far:
        yield near, far


@dataclass
class Two:
    """Two machines, and a volume on the first one. `port` is where the second one listens."""

    here: RealGround
    there: RealGround
    port: int
    guid: str
    strangers: bool = False

    def at(self, machine: str) -> "End":
        return self._ends[machine]

    @asynccontextmanager
    async def up(self) -> AsyncIterator["Two"]:
        members = {} if self.strangers else {"m1": Machine("1", "m1", "", FROM, "", "")}
        ends = {name: Transferring(ground.zfs, lambda: members, self.port)
                for name, ground in (("m1", self.here), ("m2", self.there))}  # fmt: skip
        self._ends = {"m1": End(self.here.zfs, ends["m1"]), "m2": End(self.there.zfs, ends["m2"])}
        await ends["m2"].open(TO)
        try:
            yield self
        finally:
            await ends["m2"].close()

    def do(self, story: Callable[[Node], Awaitable[T]]) -> T:
        async def told() -> T:
            async with self.up():
                return await story(cast(Node, self))

        return asyncio.run(told())

    def way(self, **more: Any) -> Way:
        source, target = f"{self.here.zfs.root}/shop/data/op-a", f"{self.there.zfs.root}/shop/data/op-m"
        return Way("m1", source, self.guid, "m2", **{"dataset": target, "address": TO, **more})

    def write(self, name: str, data: bytes) -> None:
        (self.here.folder / "shop/data/op-a" / name).write_bytes(data)

    def taken(self, name: str) -> str:
        """A snapshot of the volume; its guid."""
        return _guid(self.here, snapped(self.here, f"{self.here.zfs.root}/shop/data/op-a", name))

    def brought(self, upto: str, **more: Any) -> None:
        async def story(node: Node) -> None:
            await sending.bring(self.way(**more), upto, node, "op-m")
            await sending.settle(self.way(**more), node)

        self.do(story)

    def line(self) -> list[str]:
        """The names of the snapshots that came, oldest first."""
        return [name.partition("@")[2] for name, _ in self._line()]

    def guids(self) -> list[str]:
        return [guid for _, guid in self._line()]

    def _line(self) -> list[tuple[str, str]]:
        found = asyncio.run(self.there.zfs.below(self.way().dataset))
        return [(one.name, one.guid) for one in sorted(found, key=lambda one: one.order)]

    def read(self, name: str) -> bytes:
        path = asyncio.run(self.there.zfs.mount(self.way().dataset))
        return (Path(path) / name).read_bytes()


@dataclass
class End:
    datasets: Zfs
    transfers: Transferring


def _guid(ground: RealGround, name: str) -> str:
    found = asyncio.run(ground.zfs.look(name))
    assert found
    return found.guid


@pytest.fixture
def two(pools: tuple[Zfs, Zfs], tmp_path: Path) -> Two:
    number = next(NUMBERS)
    here, there = (fresh_root(pool, tmp_path / pool.root.partition("/")[0], f"a{number}") for pool in pools)
    made(here, "op-a")
    found = Two(here, there, 40_000 + number, _guid(here, f"{here.zfs.root}/shop/data/op-a"))
    found.write("row", b"first")
    return found


def test_what_is_sent_arrives_as_it_was_with_its_marks_and_not_mounted(two: Two) -> None:
    two.write("large", data := os.urandom(3 * MIB))
    first = two.taken("op-m-1")
    two.brought("op-m-1")
    two.write("row", b"second")
    second = two.taken("op-m-2")
    two.brought("op-m-2")
    assert (two.line(), two.guids()) == (["op-m-1", "op-m-2"], [first, second])
    found = asyncio.run(two.there.zfs.look(f"{two.way().dataset}@op-m-2"))
    dataset = asyncio.run(two.there.zfs.look(two.way().dataset))
    assert found
    assert dataset
    assert found.marks == {"operation": "op-m-2"}
    assert dataset.path is None
    assert (two.read("row"), two.read("large")) == (b"second", data)


def test_snapshots_of_one_second_go_in_their_order_and_those_that_nobody_needs_stay(two: Two) -> None:
    guids = {}
    for name in ("op-z", "op-b", "op-y", "op-c"):
        two.write("row", name.encode())
        guids[name] = two.taken(name)
    two.write("row", b"last")
    two.taken("op-m-1")
    two.brought("op-m-1", along=(guids["op-z"], guids["op-y"], guids["op-c"]))
    assert two.line() == ["op-z", "op-y", "op-c", "op-m-1"]
    assert two.read("row") == b"last"


def test_what_is_there_is_not_sent_again(two: Two) -> None:
    two.write("large", os.urandom(2 * MIB))
    two.taken("op-m-1")

    async def story(node: Node) -> list[list[int]]:
        told = []
        for _ in range(2):
            await sending.bring(two.way(), "op-m-1", node, "op-m")
            told.append(await sending.moved(two.way(), node))
        return told

    [[first], [again]] = two.do(story)
    assert 2 * MIB < first < 3 * MIB
    assert again == first


def test_a_rate_is_kept_by_the_kernel(two: Two) -> None:
    two.write("large", os.urandom(4 * MIB))
    two.taken("op-m-1")
    began = time.monotonic()
    two.brought("op-m-1", rate=2 * MIB)
    assert time.monotonic() - began > 1.5
    two.write("row", b"again")
    two.taken("op-m-2")
    two.brought("op-m-2", rate=2**40)
    assert two.line() == ["op-m-1", "op-m-2"], "as fast as the kernel knows"


@dataclass
class Relay:
    """Stands between the machines, and cuts each connection after so many bytes, if any; then the next ones pass."""

    port: int
    cuts: Sequence[int | None]
    passed: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = iter(self.cuts)

    def run(self, server: socket.socket) -> None:
        while True:
            try:
                came, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(came,), daemon=True).start()

    def _carry(self, came: socket.socket) -> None:
        most, sent = next(self._left, None), 0
        with came, socket.create_connection((TO, self.port)) as out, suppress(OSError):
            while data := came.recv(min(1 << 16, most - sent if most else 1 << 16)):
                out.sendall(data)
                sent += len(data)
                if most and sent >= most:
                    break
        self.passed.append(sent)


def test_a_connection_that_is_cut_costs_the_snapshot_that_was_under_way(two: Two) -> None:
    guids = []
    for number in range(4):
        two.write(f"part {number}", os.urandom(2 * MIB))
        guids.append(two.taken(f"op-{number}"))
    two.write("row", b"last")
    two.taken("op-m-1")
    relay = Relay(two.port, [3 * MIB, MIB, 40, 1500 * 1024])
    with socket.create_server((THROUGH, two.port)) as server:
        threading.Thread(target=relay.run, args=(server,), daemon=True).start()
        two.brought("op-m-1", along=tuple(guids), address=THROUGH)
        server.shutdown(socket.SHUT_RDWR)
    assert two.line() == ["op-0", "op-1", "op-2", "op-3", "op-m-1"]
    assert two.read("row") == b"last"
    assert sum(relay.passed) < (8 + 1 + 1.5 + 1) * MIB, "what came whole was not sent again"


@pytest.mark.parametrize("seed", [6])
def test_thirty_cuts_at_random_each_after_a_snapshot_that_came_whole(two: Two, seed: int) -> None:
    chance, size, cuts = Random(seed), MIB // 4, 30
    guids = []
    for number in range(cuts):
        two.write("row", os.urandom(size))
        guids.append(two.taken(f"op-{number}"))
    two.write("row", last := os.urandom(size))
    guids.append(two.taken("op-m-1"))
    each = [(chance.randrange(WORDS, size), None) for _ in range(cuts)]
    relay = Relay(two.port, [None, *(one for pair in each for one in pair)])
    with socket.create_server((THROUGH, two.port)) as server:
        threading.Thread(target=relay.run, args=(server,), daemon=True).start()
        two.brought("op-m-1", along=tuple(guids), address=THROUGH)
        server.shutdown(socket.SHUT_RDWR)
    assert two.guids() == guids
    assert two.read("row") == last
    wait_for(lambda: len(relay.passed) == 2 * cuts + 1)
    assert len([passed for passed in relay.passed if passed < size]) == cuts


def wait_for(holds: Callable[[], bool]) -> None:
    """Of connections that are over it is noted some moments later."""
    until = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("strangers", [False, True])
def test_who_has_no_word_or_is_no_machine_gets_nothing_in(two: Two, strangers: bool) -> None:
    two.strangers = strangers
    guid = two.taken("op-m-1")
    way = two.way()

    async def story(node: Node) -> None:
        receiving = asyncio.create_task(
            node.at("m2").transfers.receive(f"{way.dataset}@op-m-1", guid, WORD, "op-m", None)
        )
        other = WORD if strangers else "cd" * 32
        with suppress(StreamProblem):
            await node.at("m1").transfers.send(f"{way.source}@op-m-1", None, TO, other, None)
        await asyncio.wait({receiving}, timeout=0.5)
        assert not receiving.done()
        receiving.cancel()
        await asyncio.wait({receiving})

    two.do(story)
    assert asyncio.run(two.there.zfs.look(way.dataset)) is None


def test_another_snapshot_than_the_one_that_was_to_come_is_not_received(two: Two) -> None:
    two.taken("op-m-1")
    way = two.way()

    async def story(node: Node) -> None:
        receive = node.at("m2").transfers.receive(f"{way.dataset}@op-m-1", "12345", WORD, "op-m", None)
        send = node.at("m1").transfers.send(f"{way.source}@op-m-1", None, TO, WORD, None)
        told = await asyncio.gather(receive, send, return_exceptions=True)
        assert "12345 was to come" in str(told[0])

    two.do(story)
    assert asyncio.run(two.there.zfs.look(way.dataset)) is None


def test_what_it_had_is_begun_from_and_given_back(two: Two) -> None:
    first = two.taken("op-m-1")
    two.write("row", b"second")
    two.taken("op-m-2")
    two.brought("op-m-1")
    two.brought("op-m-2")
    before = asyncio.run(two.there.zfs.below(two.there.zfs.root))
    two.write("row", b"third")
    two.taken("op-n-1")
    kept = two.way().dataset
    way = Way("m1", two.way().source, two.way().guid, "m2", TO, f"{kept.rpartition('/')[0]}/op-n", f"{kept}@op-m-2")

    async def forth(node: Node) -> list[int]:
        await sending.prepare(way, node, "op-n")
        await sending.bring(way, "op-n-1", node, "op-n")
        return await sending.moved(way, node)

    [bytes] = two.do(forth)
    assert bytes < 100_000
    names = [one.name for one in asyncio.run(two.there.zfs.below(way.dataset))]
    assert [name.partition("@")[2] for name in sorted(names)] == ["op-m-1", "op-m-2", "op-n-1"]
    assert first in {one.guid for one in asyncio.run(two.there.zfs.below(way.dataset))}
    two.do(lambda node: sending.take_back(way, node, "op-n", {}))
    after = asyncio.run(two.there.zfs.below(two.there.zfs.root))
    assert [(one.name, one.guid, one.origin) for one in after] == [(one.name, one.guid, one.origin) for one in before]


def test_a_copy_is_refreshed_by_a_generation_that_takes_its_place(two: Two) -> None:
    before, folder = "", two.way().dataset.rpartition("/")[0]
    for number in range(3):
        two.write("row", b"%d" % number)
        two.write("more", os.urandom(MIB))
        by, taken = f"op-c{number}", f"op-c{number}-1"
        two.taken(taken)
        way = two.way(dataset=f"{folder}/{by}", base=before or None)
        two.do(partial(refreshed, way, by, taken))
        before = f"{way.dataset}@{taken}"
    there = {one.name.rpartition("/")[2]: one for one in asyncio.run(two.there.zfs.below(folder))}
    assert set(there) == {"op-c2", *(f"op-c2@op-c{number}-1" for number in range(3))}
    assert (there["op-c2"].origin, there["op-c2"].path) == (None, None)
    here = {one.guid: one for one in asyncio.run(two.here.zfs.below(way.source))}
    assert all(here[one.guid].created == one.created for name, one in there.items() if "@" in name)
    assert (Path(asyncio.run(two.there.zfs.mount(way.dataset))) / "row").read_bytes() == b"2"


async def refreshed(way: Way, by: str, taken: str, node: Node) -> None:
    datasets = node.at(way.to).datasets
    await sending.prepare(way, node, by)
    await sending.bring(way, taken, node, by)
    await sending.settle(way, node)
    await datasets.mark(way.dataset, {"operation": by, "state": "copy"})
    await lineage.supersede(datasets, way.dataset)
    await lineage.retire(datasets)


def test_what_was_written_since_is_as_zfs_knows_it(two: Two) -> None:
    two.taken("op-m-1")
    two.write("more", os.urandom(3 * MIB))
    source, datasets = two.way().source, two.here.zfs
    asyncio.run(datasets.mark(source, {"state": "current"}))  # what was written is counted once it is on the disk
    now, *line = asyncio.run(datasets.below(source.rpartition("/")[0]))
    assert 3 * MIB <= estimate(now, line, line[0]) < 3.5 * MIB
    two.taken("op-n")
    two.write("row", b"second")
    asyncio.run(datasets.mark(source, {"state": "current"}))
    now, *line = asyncio.run(datasets.below(source.rpartition("/")[0]))
    assert 3 * MIB <= estimate(now, line, line[0]) < 3.5 * MIB


def test_what_came_is_not_removed_where_its_source_has_gone(two: Two) -> None:
    two.taken("op-m-1")
    two.brought("op-m-1")
    way = two.way()

    async def gone(node: Node) -> None:
        await two.here.zfs.destroy(f"{way.source}@op-m-1")
        await two.here.zfs.destroy(way.source)
        await sending.take_back(way, node, "op-m", {})

    with pytest.raises(Exception, match="may be the last copy"):
        two.do(gone)
    assert two.line() == ["op-m-1"]


def test_a_clone_arrives_as_a_clone_of_what_it_came_from(two: Two) -> None:
    first = two.taken("op-1")
    source, target = two.way().source, two.way().dataset
    left = f"{two.here.zfs.root}/shop/data/op-k"
    asyncio.run(two.here.zfs.clone(f"{source}@op-1", left, "op-k", {"state": "kept"}, Layout()))
    (two.here.folder / "shop/data/op-k/row").write_bytes(b"of the clone")
    taken = _guid(two.here, snapped(two.here, left, "op-k"))
    two.taken("op-m-1")
    two.brought("op-m-1", along=(first,))
    more = {"dataset": f"{target}-1", "along": (taken,), "origin": f"{source}@op-1", "onto": f"{target}@op-1"}
    way = replace(two.way(**more), source=left, guid=_guid(two.here, left))

    async def story(node: Node) -> list[int]:
        await sending.bring(way, None, node, "op-m")
        await sending.settle(way, node)
        return await sending.moved(way, node)

    [bytes] = two.do(story)
    assert bytes < 100_000
    found = asyncio.run(two.there.zfs.look(way.dataset))
    assert found
    assert found.origin == f"{target}@op-1"
    path = asyncio.run(two.there.zfs.mount(way.dataset))
    assert (Path(path) / "row").read_bytes() == b"of the clone"
    asyncio.run(two.there.zfs.unmount(way.dataset))
    two.do(lambda node: sending.take_back(way, node, "op-m", {}))
    assert asyncio.run(two.there.zfs.look(way.dataset)) is None
    assert two.line() == ["op-1", "op-m-1"]
