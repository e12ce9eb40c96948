"""Who needs a snapshot, or a generation that is kept: pure functions of records and of what ZFS holds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from daemon.lineage import COPY, LEFT, volume_of
from daemon.records import DeployPoint, Head
from dataplane.dataset import Dataset


@dataclass(frozen=True)
class Along:
    """The guids of the snapshots that a volume has with it on the machine that it was moved to: whoever needs one of
    them for that volume finds it there, and no longer needs it where the volume was."""

    namespace: str = ""
    volume: str = ""
    guids: frozenset[str] = frozenset()

    def has(self, guid: str, namespace: str | None, volume: str | None) -> bool:
        return guid in self.guids and (namespace, volume) == (self.namespace, self.volume)


NOTHING = Along()


def moved_to(head: Head | None, volume: str, machine: str) -> str | None:
    """The machine that the volume was moved to from this one; None if it is here, or nowhere."""
    now = head.volumes.get(volume) if head else None
    return now.machine if now and now.machine != machine else None


def along(namespace: str, volume: str, there: Iterable[Dataset]) -> Along:
    """What went along, by all that is `there` on the machine that the volume is on now."""
    return Along(namespace, volume, frozenset(one.guid for one in there if "@" in one.name))


def by_points(points: Iterable[DeployPoint], gone: Along = NOTHING) -> dict[str, list[str]]:
    """The deploy points that need each snapshot of a machine, by its guid, but for what has `gone` along."""
    found: dict[str, list[str]] = {}
    for point in points:
        for held in point.data:
            if not gone.has(held.guid, point.head.namespace, held.volume):
                found.setdefault(held.guid, []).append(f"deploy {point.head.deploy} of {point.head.namespace}")
    return found


def merged(*found: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Who needs each snapshot, of several answers to that."""
    return {guid: [who for each in found for who in each.get(guid, ())] for guid in {*chain(*found)}}


def of_snapshot(
    snapshot: Dataset,
    points: Mapping[str, Sequence[str]],
    below: Iterable[Dataset],
    open: Iterable[str] = (),
    gone: Along = NOTHING,
) -> list[str]:
    """Who needs it: deploy points, the user who named it, datasets that came from it, operations that are not over."""
    needed, marks = list(points.get(snapshot.guid, ())), snapshot.marks
    if "name" in marks and not gone.has(snapshot.guid, marks.get("namespace"), marks.get("volume")):
        needed.append(f"the name {marks['name']}")
    needed += [f"{volume_name(one)} came from it" for one in below if one.origin == snapshot.name]
    needed += [f"operation {id}" for id in open if id == snapshot.marks.get("operation")]
    return needed


def of_generation(
    generation: str,
    points: Mapping[str, Sequence[str]],
    below: Sequence[Dataset],
    open: Iterable[str] = (),
    gone: Along = NOTHING,
) -> list[str]:
    """Who needs one of its snapshots. What came from them is not among these: that is promoted, and keeps them."""
    needed: list[str] = []
    for one in snapshots(generation, below):
        needed += [who for who in of_snapshot(one, points, (), open, gone) if who not in needed]
    return needed


def snapshots(generation: str, below: Iterable[Dataset]) -> list[Dataset]:
    """The snapshots of a generation, oldest first."""
    own = [one for one in below if one.name.startswith(f"{generation}@")]
    return sorted(own, key=lambda one: (one.order, one.created, one.name))


def dependants(generation: str, below: Sequence[Dataset]) -> list[Dataset]:
    """What came from a generation's snapshots, the one with the newest origin first."""
    order = {one.name: at for at, one in enumerate(snapshots(generation, below))}
    return sorted((one for one in below if one.origin in order), key=lambda one: -order[one.origin or ""])


def kept(root: str, heads: Mapping[str, Head], below: Iterable[Dataset]) -> Iterator[Dataset]:
    """The generations that no name points at any more: marked as kept or adopted, and in no head; and copies of what is
    no volume any more."""
    current = {head.dataset(volume, root) for head in heads.values() for volume in head.volumes}
    volumes = {volume_of(name) for name in current}
    for one in below:
        state = one.marks.get("state")
        copied = state == COPY and volume_of(one.name) in volumes
        if "@" not in one.name and state in (*LEFT, COPY) and not copied and one.name not in current:
            yield one


def volume_name(dataset: Dataset) -> str:
    """`<namespace>/<volume>` of a generation or of one of its snapshots."""
    return "/".join(dataset.name.partition("@")[0].split("/")[-3:-1])


def moment(created: int) -> str:
    """Seconds since 1970 as RFC 3339."""
    return datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")
