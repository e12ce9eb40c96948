"""Who needs a snapshot, or a generation that is kept: pure functions of records and of what ZFS holds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from daemon.records import DeployPoint, Head
from dataplane.dataset import Dataset


def by_points(points: Iterable[DeployPoint]) -> dict[str, list[str]]:
    """The deploy points that need each snapshot, by its guid."""
    found: dict[str, list[str]] = {}
    for point in points:
        for held in point.data:
            found.setdefault(held.guid, []).append(f"deploy {point.head.deploy} of {point.head.namespace}")
    return found


def of_snapshot(
    snapshot: Dataset, points: Mapping[str, Sequence[str]], below: Iterable[Dataset], open: Iterable[str] = ()
) -> list[str]:
    """Who needs it: deploy points, the user who named it, datasets that came from it, operations that are not over."""
    needed = list(points.get(snapshot.guid, ()))
    if name := snapshot.marks.get("name"):
        needed.append(f"the name {name}")
    needed += [f"{volume_name(one)} came from it" for one in below if one.origin == snapshot.name]
    needed += [f"operation {id}" for id in open if id == snapshot.marks.get("operation")]
    return needed


def of_generation(
    generation: str, points: Mapping[str, Sequence[str]], below: Sequence[Dataset], open: Iterable[str] = ()
) -> list[str]:
    """Who needs one of its snapshots. What came from them is not among these: that is promoted, and keeps them."""
    needed: list[str] = []
    for one in snapshots(generation, below):
        needed += [who for who in of_snapshot(one, points, (), open) if who not in needed]
    return needed


def snapshots(generation: str, below: Iterable[Dataset]) -> list[Dataset]:
    """The snapshots of a generation, oldest first."""
    own = [one for one in below if one.name.startswith(f"{generation}@")]
    return sorted(own, key=lambda one: (one.created, one.name))


def dependants(generation: str, below: Sequence[Dataset]) -> list[Dataset]:
    """What came from a generation's snapshots, the one with the newest origin first."""
    order = {one.name: at for at, one in enumerate(snapshots(generation, below))}
    return sorted((one for one in below if one.origin in order), key=lambda one: -order[one.origin or ""])


def kept(root: str, heads: Mapping[str, Head], below: Iterable[Dataset]) -> Iterator[Dataset]:
    """The generations that no name points at any more: marked as kept, and in no head."""
    current = {
        f"{root}/{head.namespace}/{volume.name}/{volume.generation}"
        for head in heads.values()
        for volume in head.volumes.values()
    }
    for one in below:
        if "@" not in one.name and one.marks.get("state") == "kept" and one.name not in current:
            yield one


def volume_name(dataset: Dataset) -> str:
    """`<namespace>/<volume>` of a generation or of one of its snapshots."""
    return "/".join(dataset.name.partition("@")[0].split("/")[-3:-1])


def moment(created: int) -> str:
    """Seconds since 1970 as RFC 3339."""
    return datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")
