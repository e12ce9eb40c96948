"""The descent of a volume's generations: the current one owns its snapshots, and what is kept holds something.

ZFS ties a clone to the snapshot that it came from. After a commit the new generation is promoted until no other
generation of its volume is its ancestor; then those before it can go whenever nobody needs their snapshots.
"""

from collections.abc import Iterable, Iterator

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
