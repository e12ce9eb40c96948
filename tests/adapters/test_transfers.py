"""Volumes on their way between machines, over real connections, programs and ZFS: whole, cut, late, from strangers."""

import asyncio
import os
import socket
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from daemon import lineage, sending
from daemon.migrating.planning import estimate
from daemon.node import Node
from daemon.sending import Way
from dataplane.dataset import Layout, StreamProblem
from dataplane.zfs_transfer import Cargo
from tests.adapters.pools import snapped
from tests.adapters.travels import MIB, THROUGH, TO, Relay, Two, guid_of, wait_for

WORD = "ab" * 32
WORDS = 40
"""Bytes after which a connection has at least begun with something of a stream."""


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
            await node.at("m1").transfers.send(Cargo(f"{way.source}@op-m-1"), TO, other, None)
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
        send = node.at("m1").transfers.send(Cargo(f"{way.source}@op-m-1"), TO, WORD, None)
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
    taken = guid_of(two.here, snapped(two.here, left, "op-k"))
    two.taken("op-m-1")
    two.brought("op-m-1", along=(first,))
    more = {"dataset": f"{target}-1", "along": (taken,), "origin": f"{source}@op-1", "onto": f"{target}@op-1"}
    way = replace(two.way(**more), source=left, guid=guid_of(two.here, left))

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
