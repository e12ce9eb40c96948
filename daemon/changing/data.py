"""A change's data: snapshots, new generations, and what becomes of those before."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from daemon import lineage
from daemon.change import Change, Generation
from daemon.node import Datasets, Node
from daemon.primitive import Step, confirm
from daemon.records import DeployPoint, Held
from daemon.seeing import points_of_all
from daemon.wire import Refused
from dataplane.dataset import Dataset, NotOurs


def snapshot(change: Change, datasets: tuple[str, ...], node: Node) -> Step:
    names = ["/".join(dataset.split("/")[-3:-1]) for dataset in datasets]

    async def undo() -> None:
        for dataset in datasets:
            await _take_back(f"{dataset}@{change.operation}", change.operation, node)

    return Step(
        f"snapshot {', '.join(names)} at one instant",
        lambda: node.datasets.snapshot(datasets, change.operation, change.operation),
        undo,
        machine=node.machine,
    )


def generation(change: Change, new: Generation, node: Node) -> Step:
    by = change.operation
    undo = partial(_take_back, new.dataset, by, node)
    if new.source is None:
        create = partial(node.datasets.create, new.dataset, by, new.marks, new.layout)
        return Step(f"make the volume {new.volume}", create, undo, machine=node.machine)
    clone = partial(node.datasets.clone, new.source, new.dataset, by, new.marks, new.layout)
    says = f"clone {new.volume} from {new.source.rpartition('@')[2]}"
    return Step(says, clone, undo, bytes=0, machine=node.machine)


async def _take_back(name: str, by: str, node: Node) -> None:
    # A stranger in the way made the step fail; undoing it must not fail as well, for nothing there is ours.
    with suppress(NotOurs):
        await node.datasets.take_back(name, by)


def own(new: Generation, node: Node) -> Step:
    return Step(
        f"mark the new generation of {new.volume} as current",
        lambda: node.datasets.mark(new.dataset, {"state": "current"}),
        machine=node.machine,
    )


def before(change: Change, new: Generation) -> str | None:
    """The generation that a new one replaces."""
    there = change.before if change.before and new.volume in change.before.volumes else None
    return there.dataset(new.volume, change.roots[new.machine]) if there else None


def taking_over(change: Change) -> list[str]:
    """The machines where a new generation, which owns its snapshots in the end, may take them from others of its volume
    than the one that it replaces: nobody may need what is left of these. The first one of a volume finds none there."""
    others = [new for new in change.generations if new.source and new.source.partition("@")[0] != before(change, new)]
    return sorted({new.machine for new in others if not is_first(new.marks)})


def is_first(marks: Mapping[str, str]) -> bool:
    """Whether a generation is the first that its volume ever had."""
    return marks["epoch"] == "1"


def unmount(volume: str, old: str, node: Node) -> Step:
    """While other things go on: zfs-fuse calls what was unmounted a moment ago busy."""
    says = f"unmount the generation of {volume} that was current"
    return Step(says, lambda: node.datasets.unmount(old), machine=node.machine)


def settle_lineage(change: Change, new: Generation, node: Node) -> Step:
    settling = partial(lineage.settle, node.datasets, new.dataset, before(change, new))
    return Step(f"let the new generation of {new.volume} own its snapshots", settling, machine=node.machine)


def keep_point(change: Change, node: Node) -> Step:
    replaced = change.before

    async def do() -> None:
        assert replaced
        if await node.records.has_point(replaced.namespace, replaced.deploy):
            return  # done before; a later step may have destroyed its snapshots since
        held = await _held(change, node)
        await node.records.keep_point(DeployPoint(replaced, held, change.operation, change.at))

    return Step(f"write deploy {replaced.deploy if replaced else 0} into the history", do)


async def _held(change: Change, node: Node) -> tuple[Held, ...]:
    """The snapshots of the point that is replaced, wherever promotions have taken them, by guid."""
    found = []
    for taken in change.snapshot:
        for dataset in taken.datasets:
            folder = lineage.volume_of(dataset)
            name = folder.rpartition("/")[2]
            below = await node.at(taken.machine).datasets.below(folder)
            at = [d for d in below if d.name.endswith(f"@{change.operation}")]
            confirm(len(at) == 1, f"the snapshot {change.operation} of the volume {name} is there {len(at)} times")
            found.append(Held(name, change.operation, at[0].guid))
    return tuple(found)


def drop(change: Change, dataset: str, node: Node) -> Step:
    """Its last snapshot is a deploy point's, so that there is always something to keep of it, unless all is purged."""
    volume = lineage.volume_of(dataset).rpartition("/")[2]
    purged = f"let go of what others need of the data of {volume}"
    says = purged if change.purges else f"keep the data of {volume}, which is no volume of it any more"
    return Step(says, lambda: lineage.retire(node.datasets, dataset), machine=node.machine)


def forget(change: Change, node: Node) -> Step:
    namespace, by = change.after.namespace, change.operation

    async def do() -> None:
        for number in change.forgets:
            await node.records.forget_point(namespace, number, by)

    numbers = ", ".join(map(str, change.forgets))
    return Step(f"forget deploy {numbers}", do)


def free(change: Change, node: Node) -> Step:
    async def do() -> None:
        if change.purges:
            left = [dropped.dataset for dropped in change.drops if dropped.machine == node.machine]
            await free_unneeded(change.after.namespace, node, change.dooms.get(node.machine, ()), left)
        else:
            await free_unneeded(change.after.namespace, node)

    says = "free what only this namespace needed" if change.purges else "free what nobody needs any more"
    return Step(says, do, bytes=change.frees.get(node.machine), machine=node.machine)


class After(NamedTuple):
    """The operation that has just left bases of its own, which stay, on these machines."""

    operation: str
    machines: Collection[str]


NOBODY = After("", ())


async def free_unneeded(
    namespace: str,
    node: Node,
    doomed: Collection[str] = (),
    left: Collection[str] = (),
    after: After = NOBODY,
) -> None:
    """Destroy what nobody needs any more of a namespace, also what could not go before because something was cloned
    from it; and the snapshots with the guids `doomed`, but for those that deploy points name, and those that are
    adopted.

    Generations that are `left` go as kept ones do: a full pool has no room for marking them first. What other machines
    have too is kept while one of them does not answer; raises Refused `machine.unreachable` if that is one of those
    that it comes `after`.
    """
    # Whoever leaves a generation writes the deploy point that needs its snapshots first: so the points are read last.
    root, there = node.datasets.root, await node.datasets.below(node.datasets.root)
    points = await points_of_all(node)
    purged = await _purged(points, node)
    within = [f"{root}/{name}" for name in {namespace, *purged}]
    below = lineage.kept(there, left)
    gone = {*doomed, *(held.guid for held in await node.records.forgotten(namespace))}
    gone |= lineage.passing(below, within) | lineage.named_in(below, purged)
    if bases := lineage.bases(below, within):
        own = {one.guid for one in bases if one.marks.get("operation") == after.operation}
        common = await _in_common(bases, node, after.machines)
        needed_later = own | common | lineage.of_copies(below, f"{root}/{namespace}")
        gone |= {one.guid for one in bases} - needed_later
    needed = {held.guid for point in points for held in point.data} | lineage.adopted(below)
    await lineage.free(node.datasets, within, lineage.with_origins(below, gone, needed), left)


async def _in_common(bases: Sequence[Dataset], node: Node, asks: Collection[str]) -> set[str]:
    """Those that something may be sent since to another machine."""
    there, has = {name for name, one in (await node.members.machines()).items() if one.state != "lost"}, []
    for name in sorted(there - {node.machine}):
        try:
            has.append(await _below(node.at(name).datasets))
        except Refused as refused:
            if refused.code != "machine.unreachable" or name in asks:
                raise
            return {one.guid for one in bases}
    return lineage.in_common(bases, has)


async def _below(datasets: Datasets) -> list[Dataset]:
    """All that a machine has; it is asked again, for one question that is lost is no machine that does not answer."""
    with suppress(Refused):
        return await datasets.below(datasets.root)
    return await datasets.below(datasets.root)


async def _purged(points: list[DeployPoint], node: Node) -> set[str]:
    """The namespaces that were purged, and that nobody changes: what had to stay of them, because others needed it,
    nobody else would ever free."""
    records = await node.records.namespaces()
    gone = {name for name, record in records.items() if not record.head and not record.claims}
    return gone - {point.head.namespace for point in points}
