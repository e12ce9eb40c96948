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
    while any(volume_of(ancestor) == volume_of(current) for ancestor in await _ancestors(datasets, current)):
        await datasets.promote(current)


async def retire(datasets: Datasets, volume: str, old: str | None = None) -> None:
    """Destroy kept generations that hold nothing of their own any more; keep `old`, which no name points at any more.

    A generation is snapshotted right before it is left. Once that snapshot has moved to its successor, there is
    nothing in it that the snapshot does not hold, so there is nothing to keep of it either. It may be gone already.
    """
    for generation in without_snapshots(await datasets.below(volume)):
        if generation.name == old or generation.marks.get("state") == "kept":
            await datasets.destroy(generation.name)
    if old and await datasets.look(old):
        await datasets.unmount(old)
        await datasets.mark(old, {"state": "kept"})


def without_snapshots(below: Iterable[Dataset]) -> Iterator[Dataset]:
    """The filesystems among these that no snapshot among these belongs to."""
    found = list(below)
    owners = {dataset.name.partition("@")[0] for dataset in found if "@" in dataset.name}
    return (dataset for dataset in found if "@" not in dataset.name and dataset.name not in owners)


async def _ancestors(datasets: Datasets, name: str) -> list[str]:
    """The datasets that a clone came from, nearest first."""
    found: list[str] = []
    dataset = await datasets.look(name)
    while dataset and dataset.origin:
        found.append(dataset.origin.partition("@")[0])
        dataset = await datasets.look(found[-1])
    return found
