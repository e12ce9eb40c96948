"""The datasets of a change: what is made for its volumes, from which snapshots, and what is let go."""

from collections.abc import Iterable, Iterator, Mapping

from daemon.change import Dropped, Generation, Snapshot, candidate_marks
from daemon.planning.wanted import Seen, Wanted
from daemon.primitive import By, require
from daemon.records import Head, Volume
from dataplane.dataset import Layout

UNSEEN = "?"
"""Stands for the root of a machine that does not answer; whatever needs it is refused."""


def pins(before: Head | None, wanted: Wanted) -> dict[str, str]:
    """Where each volume is, and will be: its data does not move. Raises Refused `volume.elsewhere`."""
    found = {name: volume.machine for name, volume in before.volumes.items()} if before else {}
    for name, origin in wanted.data.items():
        require(
            found.setdefault(name, origin.machine) == origin.machine,
            "volume.elsewhere",
            f"cannot give {wanted.manifest.namespace}/{name} that data",
            f"the volume is on {found[name]}, and the data on {origin.machine}",
            "move one of them first: ployzctl migrate",
        )
    return found


def roots(before: Head | None, after: Head, seen: Seen) -> dict[str, str]:
    """The dataset that everything lies below, of each machine that has some of the namespace."""
    volumes = [volume for head in (before, after) if head for volume in head.volumes.values()]
    return {volume.machine: seen.machines[volume.machine].root for volume in volumes if volume.machine in seen.machines}


def generations(
    before: Head | None, after: Head, wanted: Wanted, roots: Mapping[str, str], by: By
) -> Iterator[Generation]:
    for name, volume in sorted(after.volumes.items()):
        if volume.generation != by.operation:
            continue
        folder = f"{roots[volume.machine]}/{after.namespace}/{name}"
        old = before.volumes.get(name) if before else None
        present = f"{folder}/{old.generation}@{by.operation}" if old else None
        marks = candidate_marks(after.namespace, volume)
        layout = Layout(volume.quota, volume.owner, volume.mode)
        origin = wanted.data[name].snapshot if name in wanted.data else present
        yield Generation(name, volume.machine, f"{folder}/{by.operation}", origin, layout, marks)


def snapshots(before: Head | None, roots: Mapping[str, str]) -> tuple[Snapshot, ...]:
    """All the volumes of a head, on each machine at one instant."""
    return taken(before, before.volumes, roots) if before else ()


def taken(head: Head, volumes: Iterable[str], roots: Mapping[str, str]) -> tuple[Snapshot, ...]:
    """The generations of these volumes of a head, by the machine that each is on."""
    found: dict[str, list[str]] = {}
    for volume in (head.volumes[name] for name in sorted(volumes)):
        found.setdefault(volume.machine, []).append(dataset(head, volume, roots))
    return tuple(Snapshot(machine, tuple(datasets)) for machine, datasets in sorted(found.items()))


def dataset(head: Head, volume: Volume, roots: Mapping[str, str]) -> str:
    """The generation that a volume's name points at."""
    return head.dataset(volume.name, roots.get(volume.machine, UNSEEN))


def dropped(before: Head | None, after: Head, roots: Mapping[str, str]) -> tuple[Dropped, ...]:
    """The generations of volumes that the next head does not name."""
    volumes = [volume for name, volume in sorted(before.volumes.items()) if name not in after.volumes] if before else ()
    return tuple(Dropped(volume.machine, dataset(before, volume, roots)) for volume in volumes) if before else ()
