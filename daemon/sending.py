"""Having a volume's snapshots on another machine: one after the other, each since the one before it.

What came whole stays, also when the connection breaks: then it goes on behind that, and within the snapshot that was
under way where the target's ZFS keeps what came of it. So a line of snapshots that is cut loses at most that one.
Whoever wants a volume elsewhere says which of its snapshots are to go along.
"""

import asyncio
import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from msgspec import Struct

from daemon import lineage
from daemon.belonging import is_lost
from daemon.node import Datasets, Node
from daemon.primitive import NotSo, confirm
from daemon.wire import Refused
from dataplane.dataset import Dataset, StreamProblem
from dataplane.zfs_transfer import Cargo

AGAIN: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between tries of one stream whose connection breaks. Each that comes whole gives all of them back, and each
that goes on with one and comes further."""
VERDICT = 3.0
"""Seconds that one end is waited for once the other one has failed: it may know better why."""


class Way(Struct, frozen=True):
    """From the dataset `source` (of that guid) on `machine` to `dataset` on the machine `to`, which others reach at
    `address`. It begins as `base`, the full name of a snapshot that both have, if they have one. `along` are the guids
    of the snapshots that go along, `rate` is the most bytes a second. The first one goes since the snapshot `origin` of
    another filesystem, if there is one, which is `onto` on the target."""

    machine: str
    source: str
    guid: str
    to: str
    address: str
    dataset: str
    base: str | None = None
    along: tuple[str, ...] = ()
    rate: int | None = None
    origin: str | None = None
    onto: str | None = None


class Link(NamedTuple):
    """What is sent next: a snapshot of the source, since another one of it, by its name, if the target has that. `left`
    is the token of what the target has of a stream that broke, be it of this snapshot or not."""

    snapshot: Dataset
    base: str | None
    left: str | None = None


async def prepare(way: Way, node: Node, by: str) -> None:
    """Let the target begin as what both have; where they have nothing, the first stream makes it."""
    if way.base:
        await node.at(way.to).datasets.extend(way.base, way.dataset, by)


async def bring(way: Way, upto: str | None, node: Node, by: str) -> None:
    """Have everything that goes along on the target, and then the snapshot of that name. Raises ZfsProblem, Refused."""
    pauses, left = iter(AGAIN), None
    while link := await _next(way, upto, node):
        if left and link.left and link.left != left:
            pauses = iter(AGAIN)
        left = link.left
        try:
            await _send(way, link, node, by)
        except StreamProblem:
            if (pause := next(pauses, None)) is None:
                raise
            await asyncio.sleep(pause)
            continue
        if link.snapshot.name == f"{way.source}@{upto}":
            return
        pauses, left = iter(AGAIN), None


async def _next(way: Way, upto: str | None, node: Node) -> Link | None:
    """Raises NotSo where source and target have gone different ways."""
    left = await node.at(way.to).transfers.left(way.dataset)
    line, there = await asyncio.gather(snapshots(way.source, node.at(way.machine)), arrived(way, node))
    found = link(line, {one.guid for one in there}, {*way.along}, f"{way.source}@{upto}")
    return found._replace(left=left) if found else None


def link(line: Sequence[Dataset], there: Collection[str], along: Collection[str], upto: str) -> Link | None:
    """What comes next of a line of snapshots, oldest first, of which those of the guids `there` have arrived; None once
    `upto` has. Raises NotSo where it does not have what arrived last."""
    common = [at for at, one in enumerate(line) if one.guid in there]
    confirm(common or not there, "what arrived is not of the volume that is sent")
    last = common[-1] if common else -1
    behind = (one for one in line[last + 1 :] if one.guid in along or one.name == upto)
    following = next(behind, None)
    return Link(following, line[last].name if common else None) if following else None


async def snapshots(dataset: str, node: Node) -> list[Dataset]:
    """Those of a filesystem on a machine, oldest first; none where it is not there."""
    below = await node.datasets.below(dataset)
    return sorted((one for one in below if one.name.startswith(f"{dataset}@")), key=lambda one: one.order)


async def arrived(way: Way, node: Node) -> list[Dataset]:
    """The snapshots that the target has, oldest first."""
    return await snapshots(way.dataset, node.at(way.to))


async def _send(way: Way, link: Link, node: Node, by: str) -> None:
    """One stream. Its word goes to the two ends of it, over the bus, and is good once."""
    word, target = secrets.token_hex(32), f"{way.dataset}@{link.snapshot.name.partition('@')[2]}"
    base, onto = (link.base, None) if link.base else (way.origin, way.onto)
    cargo = Cargo(link.snapshot.name, base, link.left)
    receiving = node.at(way.to).transfers.receive(target, link.snapshot.guid, word, by, onto)
    sending = node.at(way.machine).transfers.send(cargo, way.address, word, way.rate)
    ends = {asyncio.ensure_future(receiving), asyncio.ensure_future(sending)}
    try:
        done, pending = await asyncio.wait(ends, return_when=asyncio.FIRST_EXCEPTION)
        if pending and all(isinstance(end.exception(), StreamProblem) for end in done):
            done, _ = await asyncio.wait(ends, timeout=VERDICT)
    finally:
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
    _require_both([end.exception() for end in done])


def _require_both(failures: Sequence[BaseException | None]) -> None:
    """A broken connection is what the one end notices of the other one's failure, so that one tells more."""
    told = sorted((one for one in failures if one), key=lambda one: isinstance(one, StreamProblem))
    if told:
        raise told[0]


async def moved(way: Way, node: Node) -> list[int]:
    """The bytes that came for each snapshot; none where nobody can tell."""
    with suppress(Refused):
        return await node.at(way.to).transfers.moved(way.dataset)
    return []


async def settle(way: Way, node: Node) -> None:
    """Let what arrived be as it is at the source: a stream carries no marks, and no word that it be not mounted."""
    line, there = await asyncio.gather(snapshots(way.source, node.at(way.machine)), arrived(way, node))
    marks, datasets = {one.guid: one.marks for one in line}, node.at(way.to).datasets
    for one in there:
        if lacking := {**marks.get(one.guid, {})}.items() - one.marks.items():
            await datasets.mark(one.name, dict(lacking))
    await datasets.hold_off(way.dataset)


async def take_back(way: Way, node: Node, by: str, left: Mapping[str, str]) -> None:
    """Remove what came to the target. It may be the last copy there is, so the source is looked at first; if nobody
    waits for that machine any more, what came is what is left, and gets these marks.

    Raises NotSo if the source has gone, or its machine does not answer.
    """
    datasets = node.at(way.to).datasets
    if await datasets.look(way.dataset):
        lost = await _source_is_lost(way, node)
        await node.at(way.to).transfers.give_up(way.dataset, by)
        if lost and await _leave(way, node, by, left):
            return
        await _give_back(way, datasets)
    await datasets.take_back_whole(way.dataset, by)  # parents of it may be there without it


async def _source_is_lost(way: Way, node: Node) -> bool:
    """False if the source is there; raises NotSo where neither that is sure nor that it never will be again."""
    last = f"{way.dataset} on {way.to} may be the last copy of it, and stays"
    try:
        source = await node.at(way.machine).datasets.look(way.source)
    except Refused as refused:
        if refused.code == "machine.unreachable" and await is_lost(way.machine, node.members):
            return True
        gone = f"if {way.machine} is gone for good, ployzctl machine rm {way.machine} --force goes on from it"
        raise NotSo(f"{way.source} cannot be looked at, for {way.machine} does not answer: {last}; {gone}") from refused
    confirm(source and source.guid == way.guid, f"{way.source} is gone from {way.machine}: {last}")
    return False


async def _leave(way: Way, node: Node, by: str, marks: Mapping[str, str]) -> bool:
    """Let what came stay, as a generation with these marks; False if nothing came whole."""
    datasets, there = node.at(way.to).datasets, await arrived(way, node)
    if not there:
        return False
    for one in there:
        if "operation" not in one.marks:
            await datasets.mark(one.name, {"operation": by})
    await datasets.mark(there[-1].name, {"state": lineage.BASE})
    await datasets.mark(way.dataset, {"operation": by, **marks})
    await datasets.hold_off(way.dataset)
    await datasets.unmount(way.dataset)
    await lineage.supersede(datasets, way.dataset)
    return True


async def _give_back(way: Way, datasets: Datasets) -> None:
    """Let whatever owned the base before own it again, and all that is older. Raises NotSo if that has gone."""
    owner = (way.base or "").partition("@")[0]
    if not owner:
        return
    before = await datasets.look(owner)
    confirm(before, f"{owner} is gone, and {way.dataset} has its snapshots")
    if before and before.origin and before.origin.startswith(f"{way.dataset}@"):
        await datasets.promote(owner)
