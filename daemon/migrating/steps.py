"""The steps of a move: copied while it runs, stopped, the last of it, started there; the commit; the flip."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from daemon import lineage, sending
from daemon.change import Old
from daemon.changing import commit, grouped, if_any, instances, names, serving, starting
from daemon.changing.data import After, free_unneeded
from daemon.migrating import SOON, Move, Plan
from daemon.node import Node
from daemon.primitive import Commit, Part, Step
from daemon.sending import Way
from dataplane.dataset import Dataset, NotOurs


def steps(plan: Plan, node: Node) -> list[Part]:
    """A pure function of the plan."""
    change, moves, by = plan.change, plan.moves, plan.change.operation
    return [
        *grouped([instances.fetch(image, node) for image in change.images]),
        *if_any(change.reserves, names.reserve(change, node)),
        *grouped([prepare(move, node, by) for move in moves]),
        *grouped([copy(move, node, by) for move in moves]),
        *grouped([carry(move, way, node, by) for move in moves for way in move.past]),
        *grouped([serving.see_candidates(change, node.at(machine)) for machine in change.serves]),
        *grouped([instances.stop(old, node.at(old.machine)) for old in change.stops]),
        *grouped([finish(move, change.stops, node, by) for move in moves]),
        *(part for members in starting(change, node) for part in grouped(members)),
        Commit(
            f"commit that {plan.service or ', '.join(move.volume.name for move in moves)} is on {plan.to}",
            do=partial(commit, change, node),
            settle=lambda: node.records.settle(change.after.namespace, by),
        ),
        *grouped([serving.flip(change, node.at(machine)) for machine in change.serves]),
        *grouped([instances.leave(old, node.at(old.machine)) for old in change.goes]),
        *grouped([own(move, node, by) for move in moves]),
        *grouped([keep(move, node) for move in moves]),
        *grouped([settle(move, node) for move in moves]),
        *grouped([step for move in moves for step in forget(move, node)]),
        *free(moves, node, by),
        *if_any(change.releases, names.release(change, node)),
    ]


def prepare(move: Move, node: Node, by: str) -> Step:
    """Its undo removes all that came, by whatever step."""
    volume, way = move.volume.name, move.way
    says = f"begin {volume} with what {way.to} has of it" if way.base else f"make room for {volume} on {way.to}"
    left = {**move.marks, "state": lineage.COPY}
    undo = partial(sending.take_back, way, node, by, left)
    return Step(says, partial(sending.prepare, way, node, by), undo, machine=way.to)


def copying(move: Move) -> str:
    return f"copy {move.volume.name} to {move.way.to} while it is in use"


def copy(move: Move, node: Node, by: str) -> Step:
    """Round after round, each of what changed meanwhile, until little does."""
    way = move.way

    async def do() -> None:
        now = asyncio.get_running_loop().time
        for taken in move.rounds[:-1]:
            began = now()
            await send_round(move, taken, node, by)
            if now() - began < SOON:
                break
        target = node.at(way.to).datasets
        await sending.settle(way, node)
        await target.mark(way.dataset, {"operation": by, **move.marks})
        await target.limit(way.dataset, move.layout.quota)

    async def moved() -> int | None:
        return sum(await sending.moved(way, node)) or None

    undo = partial(take_back_rounds, move, node, by)
    return Step(copying(move), do, undo, bytes=move.bytes, moved=moved, machine=way.machine)


async def take_back_rounds(move: Move, node: Node, by: str) -> None:
    """Remove the snapshots that were taken of the source."""
    for taken in move.rounds:
        with suppress(NotOurs):
            await node.at(move.way.machine).datasets.take_back(f"{move.way.source}@{taken}", by)


def carry(move: Move, way: Way, node: Node, by: str) -> Step:
    """After what it is a clone of has gone."""
    left = way.source.rpartition("/")[2]
    marks = {"namespace": move.marks["namespace"], "volume": move.volume.name, "state": "kept"}

    async def do() -> None:
        await sending.bring(way, None, node, by)
        await sending.settle(way, node)
        await node.at(way.to).datasets.mark(way.dataset, {"operation": by, **marks})

    async def moved() -> int | None:
        return sum(await sending.moved(way, node)) or None

    says = f"copy what is needed of {move.volume.name} before, {left}, to {way.to}"
    undo = partial(sending.take_back, way, node, by, marks)
    return Step(says, do, undo, moved=moved, machine=way.machine)


async def send_round(move: Move, taken: str, node: Node, by: str) -> None:
    """Snapshot the source, and have that on the target."""
    await node.at(move.way.machine).datasets.snapshot([move.way.source], taken, by)
    await sending.bring(move.way, taken, node, by)


def finishing(move: Move) -> str:
    return f"send the last of {move.volume.name} to {move.way.to}"


def finish(move: Move, stops: tuple[Old, ...], node: Node, by: str) -> Step:
    """With the first snapshot that no round took; nobody writes any more."""

    async def do() -> None:
        line = await sending.snapshots(move.way.source, node.at(move.way.machine))
        used = {one.name.partition("@")[2] for one in line}
        await send_round(move, next(taken for taken in move.rounds if taken not in used), node, by)

    async def moved() -> int | None:
        return next(reversed(await sending.moved(move.way, node)), None)

    down = tuple(sorted({old.service for old in stops}))
    return Step(finishing(move), do, moved=moved, downtime=down, machine=move.way.machine)


def own(move: Move, node: Node, by: str) -> Step:
    """It is mounted, whether or not an instance has asked for it; the last that came is what it has in common with its
    source."""

    async def do() -> None:
        way, datasets = move.way, node.at(move.way.to).datasets
        last = _taken(move, way.dataset, await sending.arrived(way, node))[-1]
        await datasets.mark(last.name, {"operation": by, "state": lineage.BASE})
        await datasets.mark(way.dataset, {"state": "current"})
        await datasets.mount(way.dataset)

    return Step(f"mark the new generation of {move.volume.name} as current", do, machine=move.way.to)


def keep(move: Move, node: Node) -> Step:
    """The source is kept, with a snapshot in it that the target has too: a move back sends only what changes since."""
    way = move.way

    async def do() -> None:
        source = node.at(way.machine)
        if taken := _taken(move, way.source, await sending.snapshots(way.source, source)):
            await source.datasets.mark(taken[-1].name, {"state": lineage.BASE})
        await lineage.retire(source.datasets, way.source)

    return Step(f"keep the generation of {move.volume.name} on {way.machine}", do, machine=way.machine)


def settle(move: Move, node: Node) -> Step:
    """Also of the copy that it may have begun as."""
    datasets = node.at(move.way.to).datasets

    async def do() -> None:
        await lineage.settle(datasets, move.way.dataset)
        await lineage.supersede(datasets, move.way.dataset)

    return Step(f"let the new generation of {move.volume.name} own its snapshots", do, machine=move.way.to)


def forget(move: Move, node: Node) -> list[Step]:
    """Of the snapshots that were taken on the way the last one is left, on both machines."""
    ends = ((move.way.to, move.way.dataset), (move.way.machine, move.way.source))
    return [
        Step(
            f"remove what {move.volume.name} no longer needs on {machine}",
            partial(_forget, move, dataset, node.at(machine)),
            machine=machine,
        )
        for machine, dataset in ends
    ]


async def _forget(move: Move, dataset: str, node: Node) -> None:
    below = await node.datasets.below(node.datasets.root)
    line = sorted((one for one in below if one.name.startswith(f"{dataset}@")), key=lambda one: one.order)
    cloned = {one.origin for one in below}
    for one in _taken(move, dataset, line)[:-1]:
        if one.name not in cloned:
            await node.datasets.destroy(one.name)


def free(moves: Sequence[Move], node: Node, by: str) -> list[Part]:
    """Machines keep what they have in common with another one only as long as that is the newest. One after the other:
    each looks at what the others have."""
    keeping = sorted({(machine, move.marks["namespace"]) for move in moves for machine in move.keeping})
    after = After(by, {machine for move in moves for machine in (move.way.machine, move.way.to)})
    return [
        Step(
            f"free what nobody needs any more on {machine}",
            partial(free_unneeded, namespace, node.at(machine), after=after),
            machine=machine,
        )
        for machine, namespace in keeping
    ]


def _taken(move: Move, dataset: str, line: list[Dataset]) -> list[Dataset]:
    """The snapshots of this move, oldest first."""
    names = {f"{dataset}@{taken}" for taken in move.rounds}
    return [one for one in line if one.name in names]
