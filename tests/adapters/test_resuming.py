"""Streams that break on their way between machines, over real connections, programs and ZFS: what came of them is gone
on with where ZFS keeps it, sent again where it does not, and given up where it is of no use."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from daemon import sending
from daemon.node import Node
from daemon.sending import Way
from dataplane.dataset import Layout, StreamProblem
from dataplane.zfs import Zfs
from dataplane.zfs_transfer import Cargo
from tests.adapters.pools import snapped
from tests.adapters.travels import MIB, THROUGH, Relay, Two, guid_of, wait_for


@dataclass(frozen=True)
class Broken:
    """What goes this way over `relay`, which cuts the first connection."""

    way: Way
    relay: Relay


SIZE, CUT = 4 * MIB, 3 * MIB // 2
"""Bytes that go, and after which the connection is cut."""


def all_of_it(two: Two) -> Way:
    two.write("large", os.urandom(SIZE))
    two.taken("op-m-1")
    return two.way()


def what_changed(two: Two) -> Way:
    two.taken("op-m-0")
    two.brought("op-m-0")
    return all_of_it(two)


def of_a_clone(two: Two) -> Way:
    two.taken("op-m-0")
    two.brought("op-m-0")
    source, target, left = two.way().source, two.way().dataset, f"{two.here.zfs.root}/shop/data/op-k"
    asyncio.run(two.here.zfs.clone(f"{source}@op-m-0", left, "op-k", {"state": "kept"}, Layout()))
    (two.here.folder / "shop/data/op-k/large").write_bytes(os.urandom(SIZE))
    snapped(two.here, left, "op-m-1")
    more = {"dataset": f"{target}-1", "origin": f"{source}@op-m-0", "onto": f"{target}@op-m-0"}
    return replace(two.way(**more), source=left, guid=guid_of(two.here, left))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, whoever receives gets to all that came."""
    monkeypatch.setattr(sending, "VERDICT", 60.0)


@pytest.fixture
def resuming(pools: tuple[Zfs, Zfs]) -> None:
    if not pools[1].abilities.resumes:
        pytest.skip("the ZFS of this machine keeps nothing of a stream that breaks; this wants OpenZFS")


@pytest.fixture
def forgetting(pools: tuple[Zfs, Zfs]) -> None:
    if pools[1].abilities.resumes:
        pytest.skip("the ZFS of this machine goes on with a stream that broke; this wants zfs-fuse")


@pytest.fixture(params=[all_of_it, what_changed, of_a_clone], ids=lambda kind: kind.__name__)
def broken(request: pytest.FixtureRequest, two: Two) -> Iterator[Broken]:
    way, relay = request.param(two), Relay(two.port, [CUT])
    with socket.create_server((THROUGH, two.port)) as server:
        threading.Thread(target=relay.run, args=(server,), daemon=True).start()
        yield Broken(replace(way, address=THROUGH), relay)
        server.shutdown(socket.SHUT_RDWR)


def require_arrived(two: Two, way: Way) -> None:
    """It is there, is the snapshot that was sent, and nothing is left of streams before."""
    found = asyncio.run(two.there.zfs.look(f"{way.dataset}@op-m-1"))
    assert found
    assert found.guid == guid_of(two.here, f"{way.source}@op-m-1")
    assert asyncio.run(two.there.zfs.left(way.dataset)) is None
    there = Path(asyncio.run(two.there.zfs.mount(way.dataset)))
    here = two.here.folder / way.source.removeprefix(f"{two.here.zfs.root}/")
    assert (there / "large").read_bytes() == (here / "large").read_bytes()
    asyncio.run(two.there.zfs.unmount(way.dataset))


@pytest.mark.usefixtures("resuming")
def test_what_came_of_a_stream_that_broke_is_not_sent_again(two: Two, broken: Broken) -> None:
    async def story(node: Node) -> list[int]:
        await sending.bring(broken.way, "op-m-1", node, "op-m")
        return await sending.moved(broken.way, node)

    moved = two.do(story)
    require_arrived(two, broken.way)
    first, second = passed(broken)
    assert first == CUT
    assert second < SIZE - CUT + MIB // 2, "only the rest was sent"
    assert moved[-1] == pytest.approx(first + second, abs=1000), "it is added up"


@pytest.mark.usefixtures("forgetting")
def test_where_zfs_keeps_nothing_of_a_stream_that_broke_all_is_sent_again(two: Two, broken: Broken) -> None:
    async def story(node: Node) -> str | None:
        await sending.bring(broken.way, "op-m-1", node, "op-m")
        return await node.at("m2").transfers.left(broken.way.dataset)

    assert two.do(story) is None
    require_arrived(two, broken.way)
    first, second = passed(broken)
    assert (first, second >= SIZE) == (CUT, True)


def passed(broken: Broken) -> list[int]:
    """The bytes of the two streams that it took."""
    wait_for(lambda: len(broken.relay.passed) == 2)
    return broken.relay.passed


def cut(two: Two, broken: Broken, *, rest: str | None = None) -> str | None:
    """One try, which the relay cuts: the token of what is left then."""

    async def story(node: Node) -> str | None:
        await attempt(two, broken, node, rest=rest)
        return await node.at("m2").transfers.left(broken.way.dataset)

    return two.do(story)


async def attempt(
    two: Two, broken: Broken, node: Node, *, rest: str | None = None, rate: int | None = None
) -> BaseException | None:
    """Both ends, once; what whoever receives meets."""
    way, word = broken.way, os.urandom(32).hex()
    begun = await two.there.zfs.look(f"{two.way().dataset}@op-m-0")
    cargo = Cargo(f"{way.source}@op-m-1", way.origin or (f"{way.source}@op-m-0" if begun else None), rest)
    taken = await two.here.zfs.look(cargo.snapshot)
    assert taken
    receive = node.at("m2").transfers.receive(f"{way.dataset}@op-m-1", taken.guid, word, "op-m", way.onto)
    send = node.at("m1").transfers.send(cargo, way.address, word, rate)
    met, _ = await asyncio.gather(receive, send, return_exceptions=True)
    return met


@pytest.mark.usefixtures("resuming")
def test_a_daemon_that_was_started_anew_goes_on_with_it(two: Two, broken: Broken) -> None:
    assert cut(two, broken)
    two.do(lambda node: sending.bring(broken.way, "op-m-1", node, "op-m"))
    require_arrived(two, broken.way)
    assert passed(broken)[1] < SIZE - CUT + MIB // 2


@pytest.mark.usefixtures("resuming")
def test_whoever_receives_still_is_ended_and_what_came_is_gone_on_with(two: Two, broken: Broken) -> None:
    broken.relay.cut_after()

    async def story(node: Node) -> str | None:
        trying = asyncio.create_task(attempt(two, broken, node, rate=MIB // 4))
        while sum(await sending.moved(broken.way, node)) < CUT:
            await asyncio.sleep(0.05)
        found = await node.at("m2").transfers.left(broken.way.dataset)
        await trying
        return found

    assert two.do(story)
    two.do(lambda node: sending.bring(broken.way, "op-m-1", node, "op-m"))
    require_arrived(two, broken.way)
    assert passed(broken)[1] < SIZE - MIB


@pytest.mark.usefixtures("resuming")
def test_what_is_left_of_a_stream_is_given_up(two: Two, broken: Broken) -> None:
    before = generations(two)
    assert cut(two, broken)
    two.do(lambda node: node.at("m2").transfers.give_up(broken.way.dataset, "op-m"))
    assert asyncio.run(two.there.zfs.left(broken.way.dataset)) is None
    assert generations(two) == before


def generations(two: Two) -> list[str]:
    """What is on the second machine, but for the folders that generations lie in."""
    return [one.name for one in asyncio.run(two.there.zfs.below(two.there.zfs.root)) if "/op-" in one.name]


@pytest.mark.usefixtures("resuming")
def test_what_zfs_takes_no_rest_of_begins_anew(two: Two, broken: Broken) -> None:
    """The token is one of before: the rest from there is not what lacks."""
    broken.relay.cut_after(MIB, MIB)
    old = cut(two, broken)
    new = cut(two, broken, rest=old)
    assert old
    assert new
    assert old != new
    assert cut(two, broken, rest=old) is None
    two.do(lambda node: sending.bring(broken.way, "op-m-1", node, "op-m"))
    require_arrived(two, broken.way)


@pytest.mark.usefixtures("resuming")
def test_what_the_source_can_send_no_rest_of_is_sent_whole(two: Two, broken: Broken) -> None:
    assert cut(two, broken)
    asyncio.run(two.here.zfs.destroy(f"{broken.way.source}@op-m-1"))
    snapped(two.here, broken.way.source, "op-m-1")
    two.do(lambda node: sending.bring(broken.way, "op-m-1", node, "op-m"))
    require_arrived(two, broken.way)


def test_nobody_is_told_to_go_on_by_hand(two: Two, broken: Broken) -> None:
    met = two.do(lambda node: attempt(two, broken, node))
    assert isinstance(met, StreamProblem)
    assert "cannot receive" in str(met)
    assert "zfs send -t" not in str(met)


def test_what_came_in_part_is_taken_back_with_the_rest(two: Two, broken: Broken) -> None:
    assert bool(cut(two, broken)) == two.there.zfs.abilities.resumes
    two.do(lambda node: sending.take_back(broken.way, node, "op-m", {}))
    assert asyncio.run(two.there.zfs.look(broken.way.dataset)) is None
