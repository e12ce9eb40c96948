"""The steps of a copy: sent while the volume is in use, committed; then the one before it is none any more."""

from functools import partial

from daemon import lineage, sending
from daemon.migrating import Move
from daemon.migrating.steps import send_round, take_back_rounds
from daemon.node import Node
from daemon.primitive import Step


def copying(move: Move) -> str:
    return f"copy {move.volume.name} as it is now to {move.way.to}"


def copy(move: Move, node: Node, by: str) -> Step:
    """One snapshot, and what deploy points need before it."""
    way = move.way

    async def do() -> None:
        await send_round(move, move.rounds[0], node, by)
        await sending.settle(way, node)
        await node.at(way.to).datasets.mark(way.dataset, {"operation": by, **move.marks})

    async def moved() -> int | None:
        return sum(await sending.moved(way, node)) or None

    undo = partial(take_back_rounds, move, node, by)
    return Step(copying(move), do, undo, bytes=move.bytes, moved=moved, machine=way.machine)


def hold(move: Move, node: Node) -> Step:
    """The next copy begins there."""
    way = move.way
    marking = partial(node.at(way.machine).datasets.mark, f"{way.source}@{move.rounds[0]}", {"state": lineage.BASE})
    return Step(f"keep what the copy of {move.volume.name} is of", marking, machine=way.machine)


def own(move: Move, node: Node) -> Step:
    way, datasets = move.way, node.at(move.way.to).datasets

    async def do() -> None:
        await datasets.mark(f"{way.dataset}@{move.rounds[0]}", {"state": lineage.BASE})
        await datasets.mark(way.dataset, {"state": lineage.COPY})
        await lineage.supersede(datasets, way.dataset)
        await lineage.retire(datasets)

    return Step(f"have one copy of {move.volume.name} on {way.to}", do, machine=way.to)
