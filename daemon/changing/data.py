"""A change's data: snapshots, new generations, and what becomes of those before."""

from contextlib import suppress
from functools import partial

from daemon import lineage
from daemon.change import Change, Generation
from daemon.node import Node
from daemon.primitive import Step, confirm
from daemon.records import DeployPoint, Held
from dataplane.dataset import NotOurs


def snapshot(change: Change, datasets: tuple[str, ...], node: Node) -> Step:
    names = ["/".join(dataset.split("/")[-3:-1]) for dataset in datasets]

    async def undo() -> None:
        for dataset in datasets:
            await _take_back(f"{dataset}@{change.operation}", change.operation, node)

    return Step(
        f"snapshot {', '.join(names)} at one instant",
        lambda: node.datasets.snapshot(datasets, change.operation, change.operation),
        undo,
    )


def generation(change: Change, new: Generation, node: Node) -> Step:
    by = change.operation
    undo = partial(_take_back, new.dataset, by, node)
    if new.source is None:
        create = partial(node.datasets.create, new.dataset, by, new.marks, new.layout)
        return Step(f"make the volume {new.volume}", create, undo)
    clone = partial(node.datasets.clone, new.source, new.dataset, by, new.marks, new.layout)
    return Step(f"clone {new.volume} from {new.source.rpartition('@')[2]}", clone, undo)


async def _take_back(name: str, by: str, node: Node) -> None:
    # A stranger in the way made the step fail; undoing it must not fail as well, for nothing there is ours.
    with suppress(NotOurs):
        await node.datasets.take_back(name, by)


def own(new: Generation, node: Node) -> Step:
    return Step(
        f"mark the new generation of {new.volume} as current",
        lambda: node.datasets.mark(new.dataset, {"state": "current"}),
    )


def before(change: Change, new: Generation) -> str | None:
    """The generation that a new one replaces."""
    old = change.before.volumes.get(new.volume) if change.before else None
    return change.dataset(old) if old else None


def unmount(volume: str, old: str, node: Node) -> Step:
    """While other things go on: zfs-fuse calls what was unmounted a moment ago busy."""
    return Step(f"unmount the generation of {volume} that was current", lambda: node.datasets.unmount(old))


def settle_lineage(change: Change, new: Generation, node: Node) -> Step:
    async def do() -> None:
        await lineage.make_independent(node.datasets, new.dataset)
        await lineage.retire(node.datasets, lineage.volume_of(new.dataset), before(change, new))

    return Step(f"let the new generation of {new.volume} own its snapshots", do)


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
    for dataset in change.snapshot:
        folder = lineage.volume_of(dataset)
        name = folder.rpartition("/")[2]
        at = [d for d in await node.datasets.below(folder) if d.name.endswith(f"@{change.operation}")]
        confirm(len(at) == 1, f"the snapshot {change.operation} of the volume {name} is there {len(at)} times")
        found.append(Held(name, change.operation, at[0].guid))
    return tuple(found)


def drop(dataset: str, node: Node) -> Step:
    """Its last snapshot is a deploy point's, so that there is always something to keep of it."""
    volume = lineage.volume_of(dataset)
    says = f"keep the data of {volume.rpartition('/')[2]}, which is no volume of it any more"
    return Step(says, lambda: lineage.retire(node.datasets, volume, dataset))


def forget(change: Change, node: Node) -> Step:
    namespace, by = change.after.namespace, change.operation

    async def do() -> None:
        for number in change.forgets:
            await node.records.forget_point(namespace, number, by)

    numbers = ", ".join(map(str, change.forgets))
    return Step(f"forget deploy {numbers}", do)


def free(change: Change, node: Node) -> Step:
    """What nobody needs any more goes, also what could not go before because something was cloned from it."""
    root, namespace = node.datasets.root, change.after.namespace

    async def do() -> None:
        below = await node.datasets.below(root)
        doomed = {held.guid for held in await node.records.forgotten(namespace)}
        doomed |= lineage.passing(below, f"{root}/{namespace}")
        if change.purges:
            doomed |= {*change.dooms, *(one.guid for one in below if one.name.endswith(f"@{change.operation}"))}
        needed = await _needed(list(await node.records.namespaces()), node)
        await lineage.free(node.datasets, f"{root}/{namespace}", doomed - needed)

    return Step("free what only this namespace needed" if change.purges else "free what nobody needs any more", do)


async def _needed(names: list[str], node: Node) -> set[str]:
    """The guids of all snapshots that deploy points name. A promotion may have moved those of others here."""
    points = [point for name in names for point in await node.records.points(name)]
    return {held.guid for point in points for held in point.data}
