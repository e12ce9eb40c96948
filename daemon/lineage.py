"""The descent of a volume's generations: the current one owns its snapshots, and what is kept holds something.

ZFS ties a clone to the snapshot that it came from. After a commit the new generation is promoted until no other
generation of its volume is its ancestor; then those before it can go whenever nobody needs their snapshots.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from daemon.node import Datasets
from dataplane.dataset import Dataset

BASE = "base"
"""The state of a snapshot that a generation which was left, or is a copy, shares with one on another machine: what is
sent later begins there."""
COPY = "copy"
"""The state of a generation that is what another machine's was at some time."""
ADOPTED = "adopted"
"""The state of a generation that a machine brought along when it joined: only a purge of it destroys any of it."""
LEFT = ("kept", ADOPTED)
"""The states of generations that no name points at any more."""


def volume_of(dataset: str) -> str:
    """The folder of all generations of a generation's volume."""
    return dataset.partition("@")[0].rpartition("/")[0]


async def settle(datasets: Datasets, current: str, old: str | None = None) -> None:
    """After a commit: the current generation of a volume owns what it came from, and `old`, before it, is kept."""
    await make_independent(datasets, current)
    await retire(datasets, old)


async def make_independent(datasets: Datasets, current: str) -> None:
    """Promote a generation until none of its ancestors is of its own volume, but for those that are adopted."""
    there = {one.name: one for one in await datasets.below(datasets.root)}
    now = there.get(current)
    while now and _descends_from_its_own(now, there):
        now = await datasets.promote(current)


async def supersede(datasets: Datasets, current: str) -> None:
    """The copies that a machine has of a volume are none any more: `current` is newer. What one still holds is kept."""
    for one in await datasets.below(volume_of(current)):
        if "@" not in one.name and one.marks.get("state") == COPY and one.name != current:
            await retire(datasets, one.name)


async def retire(datasets: Datasets, old: str | None = None) -> None:
    """Destroy generations that no name points at and that hold nothing of their own any more; keep `old`, which is one
    of these now.

    Of whatever volume they are: the current one may have taken over the snapshots of others that it descends from.

    A generation is snapshotted right before it is left. Once that snapshot has moved to its successor, of which it is a
    clone then, there is nothing in it that the snapshot does not hold, so there is nothing to keep of it either. One
    that is nobody's clone has lost its snapshots in another way, and is data. It may be gone already.
    """
    below = await datasets.below(datasets.root)
    there = {one.name: one for one in below}
    empty = [one for one in without_snapshots(below) if one.origin and not _is_lent(there, one)]
    needless = [one.name for one in empty if one.name == old or is_unnamed(one)]
    for name in needless:
        await datasets.destroy(name)
    if old in there.keys() - set(needless):
        await datasets.unmount(old)
        await datasets.mark(old, {"state": "kept"})


def _is_lent(there: Mapping[str, Dataset], dataset: Dataset) -> bool:
    """Whether an operation that is not over has begun a generation as what this one held, which may be given back."""
    owner = there.get((dataset.origin or "").partition("@")[0])
    return owner is not None and owner.marks.get("state") not in ("current", *LEFT, COPY)


def without_snapshots(below: Iterable[Dataset]) -> Iterator[Dataset]:
    """The filesystems among these that no snapshot among these belongs to."""
    found = list(below)
    owners = {dataset.name.partition("@")[0] for dataset in found if "@" in dataset.name}
    return (dataset for dataset in found if "@" not in dataset.name and dataset.name not in owners)


def _descends_from_its_own(generation: Dataset, there: Mapping[str, Dataset]) -> bool:
    """Whether it is a clone of a clone of … of a generation of its own volume. The nearest is most often one."""
    ancestor: Dataset | None = generation
    while ancestor and ancestor.origin:
        ancestor = there.get(ancestor.origin.partition("@")[0])
        own = ancestor is not None and volume_of(ancestor.name) == volume_of(generation.name)
        if ancestor and own and ancestor.marks.get("state") != ADOPTED:
            return True
    return False


# ------------------------------------------------------------------------------------------------- freeing


@dataclass(frozen=True)
class Freeing:
    """What goes next: these datasets, in this order; or, where none can go as it is, a clone is promoted first."""

    destroy: tuple[str, ...] = ()
    promote: str | None = None


async def free(
    datasets: Datasets, within: Collection[str], doomed: Collection[str], left: Collection[str] = ()
) -> None:
    """Destroy what nobody needs any more in the namespace datasets `within`, step by step: see `freeing`.

    Generations that are `left` go as kept ones do.
    """
    while (found := freeing(kept(await datasets.below(datasets.root), left), within, doomed)) != Freeing():
        for dataset in found.destroy:
            await datasets.destroy(dataset)
        if found.promote:
            await datasets.promote(found.promote)


def kept(found: Iterable[Dataset], left: Collection[str]) -> list[Dataset]:
    """The same datasets as they will be once those `left` are marked as kept."""
    mark = {"state": "kept"}
    return [replace(one, marks={**one.marks, **mark}) if one.name in left else one for one in found]


def held_by(found: Iterable[Dataset], within: str) -> set[str]:
    """The guids of the snapshots that are in the namespace dataset `within`, or that something in it came from, but for
    what its own namespace has in common with another machine.

    Promotions move snapshots between namespaces: those that a user named are their own namespace's, wherever they are.
    """
    there = list(found)
    inside = [dataset for dataset in there if dataset.name.startswith((f"{within}/", f"{within}@"))]
    own, origins = {dataset.name for dataset in inside if "@" in dataset.name}, {dataset.origin for dataset in inside}
    came = {dataset.name for dataset in there if dataset.name in origins and dataset.marks.get("state") != BASE}
    unnamed = {dataset.guid for dataset in there if dataset.name in own | came and "name" not in dataset.marks}
    return unnamed | named_in(there, [within.rpartition("/")[2]])


def named_in(found: Iterable[Dataset], namespaces: Collection[str]) -> set[str]:
    """The guids of the snapshots that somebody gave a name in these namespaces, wherever promotions have taken them."""
    snapshots = (one for one in found if "@" in one.name and "name" in one.marks)
    return {one.guid for one in snapshots if one.marks.get("namespace") in namespaces}


def adopted(found: Iterable[Dataset]) -> set[str]:
    """The guids of the snapshots in adopted generations."""
    there = list(found)
    owners = {one.name for one in there if "@" not in one.name and one.marks.get("state") == ADOPTED}
    return {one.guid for one in there if "@" in one.name and one.name.partition("@")[0] in owners}


def passing(found: Iterable[Dataset], within: Collection[str]) -> set[str]:
    """The guids of the snapshots that operations took and that nobody gave a name: those in the namespace datasets
    `within`, and those that something in there came from.

    Where no deploy point names them nobody needs them any more: they were there to clone from.
    """
    there = list(found)
    origins = {one.origin for one in there if _is_inside(one, within)}
    inside = (one for one in there if "@" in one.name and (_is_inside(one, within) or one.name in origins))
    return {one.guid for one in inside if _is_passing(one)}


def bases(found: Iterable[Dataset], within: Collection[str]) -> list[Dataset]:
    """The snapshots in the namespace datasets `within` that were kept because other machines have them too, oldest
    first: those in generations of a later epoch are newer. What was carried along has none, and is the oldest."""
    there = list(found)
    epochs = {one.name: int(one.marks.get("epoch", "0")) for one in there if "@" not in one.name}
    left = (one for one in there if "@" in one.name and one.marks.get("state") == BASE and _is_inside(one, within))
    return sorted(left, key=lambda one: (epochs.get(one.name.partition("@")[0], 0), one.order))


def in_common(bases: Sequence[Dataset], others: Iterable[Iterable[Dataset]]) -> set[str]:
    """The guids of those of a machine's `bases` that something may be sent since: of each volume the newest that
    another machine has too, by all that each of the `others` has."""
    found = set[str]()
    for there in others:
        has = {one.guid for one in there if "@" in one.name}
        found |= {*{volume_of(one.name): one.guid for one in bases if one.guid in has}.values()}
    return found


def of_copies(found: Iterable[Dataset], within: str) -> set[str]:
    """The guids of what the copies in a namespace dataset are: the newest snapshot of each."""
    there = list(found)
    copies = {one.name for one in there if one.marks.get("state") == COPY and _is_inside(one, [within])}
    owned = [(one.name.partition("@")[0], one) for one in there if "@" in one.name]
    oldest_first = sorted(((owner, one) for owner, one in owned if owner in copies), key=lambda each: each[1].order)
    return {*{owner: one.guid for owner, one in oldest_first}.values()}


def with_origins(found: Iterable[Dataset], doomed: Collection[str], needed: Collection[str]) -> set[str]:
    """The doomed, but for those needed; what only those kept generations came from that go with them; and what is left
    of those that lose some, for it was there to clone from."""
    there = {dataset.name: dataset for dataset in found}
    all_doomed = {*doomed} - {*needed}
    while True:
        kept = [one.name for one in there.values() if is_unnamed(one)]
        going = [there[name] for name in kept if _holds_only(there, name, all_doomed)]
        losing = [name for name in kept if not _guids(there, name).isdisjoint(all_doomed)]
        left = [there[f"{name}@{snapshot}"] for name in losing for snapshot in _names(there, name)]
        others = [*left, *(there[one.origin] for one in going if one.origin in there)]
        more = {one.guid for one in others if _is_passing(one)} - all_doomed - {*needed}
        if not more:
            return all_doomed
        all_doomed |= more


def _is_passing(snapshot: Dataset) -> bool:
    return "operation" in snapshot.marks and "name" not in snapshot.marks and snapshot.marks.get("state") != BASE


def is_unnamed(dataset: Dataset) -> bool:
    """Whether it is a generation that no name points at, and that goes once nobody needs it: a kept one, or a copy."""
    return "@" not in dataset.name and dataset.marks.get("state") in ("kept", COPY)


def freeing(found: Iterable[Dataset], within: Collection[str], doomed: Collection[str]) -> Freeing:
    """Decide it from all datasets there are. `doomed` are the guids of snapshots that nobody names any more.

    Such a snapshot goes once nothing is a clone of it; a kept generation once it has no snapshots, wherever it is; a
    folder of `within` once it is empty. A snapshot that somebody's data descends from stays where it is, unless all
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
    return Freeing(promote=next(chain(_in_the_way(there, doomed), _dependent(there)), None))


def _may_go(there: dict[str, Dataset], name: str, within: Collection[str], doomed: Collection[str]) -> bool:
    if "@" in name:
        return there[name].guid in doomed and not _clones(there, name)
    if not is_unnamed(there[name]) and not _is_folder(there[name], within):
        return False
    if _is_lent(there, there[name]):
        return False
    return not any(other.startswith((f"{name}/", f"{name}@")) for other in there)


def _in_the_way(there: dict[str, Dataset], doomed: Collection[str]) -> Iterator[str]:
    """Clones that stay, of generations that could go but for them, wherever these are.

    One that has a snapshot of the same name cannot be promoted.
    """
    condemned = {name for name, one in there.items() if is_unnamed(one) and _holds_only(there, name, doomed)}
    for name, dataset in sorted(there.items()):
        parent = (dataset.origin or "").partition("@")[0]
        if parent in condemned and name not in condemned and not _names(there, name) & _names(there, parent):
            yield name


def _dependent(there: dict[str, Dataset]) -> Iterator[str]:
    """Current generations that descend from kept ones of their own volume, as one that was promoted may have become."""
    for name, dataset in there.items():
        ancestor: Dataset | None = dataset
        while dataset.marks.get("state") == "current" and ancestor and ancestor.origin:
            ancestor = there.get(ancestor.origin.partition("@")[0])
            own = ancestor is not None and volume_of(ancestor.name) == volume_of(name)
            if ancestor and own and is_unnamed(ancestor):
                yield name
                break


def _holds_only(there: dict[str, Dataset], name: str, doomed: Collection[str]) -> bool:
    return all(guid in doomed for guid in _guids(there, name))


def _guids(there: dict[str, Dataset], name: str) -> set[str]:
    """Those of a dataset's own snapshots."""
    return {there[f"{name}@{snapshot}"].guid for snapshot in _names(there, name)}


def _names(there: dict[str, Dataset], name: str) -> set[str]:
    """The names of a dataset's own snapshots, without the dataset's."""
    return {other.partition("@")[2] for other in there if other.startswith(f"{name}@")}


def _clones(there: dict[str, Dataset], snapshot: str) -> bool:
    return any(dataset.origin == snapshot for dataset in there.values())


def _is_inside(dataset: Dataset, within: Collection[str]) -> bool:
    return any(dataset.name.startswith(f"{one}/") for one in within)


def _is_folder(dataset: Dataset, within: Collection[str]) -> bool:
    """Whether it is a namespace's dataset or that of a volume: parents of generations, which hold nothing."""
    return bool(dataset.marks) and not {dataset.name, volume_of(dataset.name)}.isdisjoint(within)
