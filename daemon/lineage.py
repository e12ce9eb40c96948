"""The descent of a volume's generations: the current one owns its snapshots, and what is kept holds something.

ZFS ties a clone to the snapshot that it came from. After a commit the new generation is promoted until no other
generation of its volume is its ancestor; then those before it can go whenever nobody needs their snapshots.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from daemon.node import Datasets
from dataplane.dataset import Dataset


def volume_of(dataset: str) -> str:
    """The folder of all generations of a generation's volume."""
    return dataset.partition("@")[0].rpartition("/")[0]


async def make_independent(datasets: Datasets, current: str) -> None:
    """Promote a generation until none of its ancestors is of its own volume."""
    now = await datasets.look(current)
    while now and await _descends_from_its_own(datasets, now):
        now = await datasets.promote(current)


async def retire(datasets: Datasets, volume: str, old: str | None = None) -> None:
    """Destroy kept generations that hold nothing of their own any more; keep `old`, which no name points at any more.

    A generation is snapshotted right before it is left. Once that snapshot has moved to its successor, there is
    nothing in it that the snapshot does not hold, so there is nothing to keep of it either. It may be gone already.
    """
    below = await datasets.below(volume)
    needless = [one.name for one in without_snapshots(below) if one.name == old or one.marks.get("state") == "kept"]
    for name in needless:
        await datasets.destroy(name)
    if old in {one.name for one in below} - set(needless):
        await datasets.unmount(old)
        await datasets.mark(old, {"state": "kept"})


def without_snapshots(below: Iterable[Dataset]) -> Iterator[Dataset]:
    """The filesystems among these that no snapshot among these belongs to."""
    found = list(below)
    owners = {dataset.name.partition("@")[0] for dataset in found if "@" in dataset.name}
    return (dataset for dataset in found if "@" not in dataset.name and dataset.name not in owners)


async def _descends_from_its_own(datasets: Datasets, generation: Dataset) -> bool:
    """Whether it is a clone of a clone of … of a generation of its own volume. The nearest is most often one."""
    ancestor: Dataset | None = generation
    while ancestor and ancestor.origin:
        parent = ancestor.origin.partition("@")[0]
        if volume_of(parent) == volume_of(generation.name):
            return True
        ancestor = await datasets.look(parent)
    return False


# ------------------------------------------------------------------------------------------------- freeing


@dataclass(frozen=True)
class Freeing:
    """What goes next: these datasets, in this order; or, where none can go as it is, a clone is promoted first."""

    destroy: tuple[str, ...] = ()
    promote: str | None = None


async def free(datasets: Datasets, within: str, doomed: Collection[str]) -> None:
    """Destroy what nobody needs any more in the namespace dataset `within`, step by step: see `freeing`."""
    while (found := freeing(await datasets.below(datasets.root), within, doomed)) != Freeing():
        for dataset in found.destroy:
            await datasets.destroy(dataset)
        if found.promote:
            await datasets.promote(found.promote)


def held_by(found: Iterable[Dataset], within: str) -> set[str]:
    """The guids of the snapshots that are in the namespace dataset `within`, or that something in it came from.

    Promotions move snapshots between namespaces: one that a user named in another is left to that one.
    """
    there = list(found)
    inside = [dataset for dataset in there if dataset.name.startswith((f"{within}/", f"{within}@"))]
    wanted = {dataset.name for dataset in inside if "@" in dataset.name} | {dataset.origin for dataset in inside}
    namespace = within.rpartition("/")[2]
    return {
        dataset.guid
        for dataset in there
        if dataset.name in wanted and ("name" not in dataset.marks or dataset.marks.get("namespace") == namespace)
    }


def passing(found: Iterable[Dataset], within: str) -> set[str]:
    """The guids of the snapshots in the namespace dataset `within` that operations took and that nobody gave a name.

    Whatever deploy point does not name them needs them no more: they were there to clone from.
    """
    inside = (one for one in found if "@" in one.name and one.name.startswith(f"{within}/"))
    return {one.guid for one in inside if "operation" in one.marks and "name" not in one.marks}


def freeing(found: Iterable[Dataset], within: str, doomed: Collection[str]) -> Freeing:
    """Decide it from all datasets there are. `doomed` are the guids of snapshots that nobody names any more.

    Such a snapshot goes once nothing is a clone of it; a kept generation of `within` once it has no snapshots; a
    folder of it once it is empty. A snapshot that somebody's data descends from stays where it is, unless all
    that its generation still holds is doomed: then the clone that is in the way takes over what it came from.
    """
    there = {dataset.name: dataset for dataset in found}
    gone: list[str] = []
    while going := [name for name in there if _may_go(there, name, within, doomed)]:
        for name in sorted(going, reverse=True):
            if _may_go(there, name, within, doomed):
                del there[name]
                gone.append(name)
    if gone:
        return Freeing(tuple(gone))
    return Freeing(promote=next(_in_the_way(there, within, doomed), None))


def _may_go(there: dict[str, Dataset], name: str, within: str, doomed: Collection[str]) -> bool:
    if "@" in name:
        return there[name].guid in doomed and not _clones(there, name)
    if not _is_kept(there[name], within) and not _is_folder(there[name], within):
        return False
    return not any(other.startswith((f"{name}/", f"{name}@")) for other in there)


def _in_the_way(there: dict[str, Dataset], within: str, doomed: Collection[str]) -> Iterator[str]:
    """Clones that stay, of generations that could go but for them. One that has a snapshot of the same name cannot."""
    condemned = {name for name in there if _is_kept(there[name], within) and _holds_only(there, name, doomed)}
    for name, dataset in sorted(there.items()):
        parent = (dataset.origin or "").partition("@")[0]
        if parent in condemned and name not in condemned and not _names(there, name) & _names(there, parent):
            yield name


def _holds_only(there: dict[str, Dataset], name: str, doomed: Collection[str]) -> bool:
    return all(there[f"{name}@{snapshot}"].guid in doomed for snapshot in _names(there, name))


def _names(there: dict[str, Dataset], name: str) -> set[str]:
    """The names of a dataset's own snapshots, without the dataset's."""
    return {other.partition("@")[2] for other in there if other.startswith(f"{name}@")}


def _clones(there: dict[str, Dataset], snapshot: str) -> bool:
    return any(dataset.origin == snapshot for dataset in there.values())


def _is_kept(dataset: Dataset, within: str) -> bool:
    return dataset.name.startswith(f"{within}/") and dataset.marks.get("state") == "kept"


def _is_folder(dataset: Dataset, within: str) -> bool:
    """Whether it is the namespace's dataset or that of a volume: parents of generations, which hold nothing."""
    return bool(dataset.marks) and within in (dataset.name, volume_of(dataset.name))
