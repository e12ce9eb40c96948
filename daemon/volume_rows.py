"""What can be seen of volumes: committed names beside the datasets that this machine's pool holds."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from daemon import finding
from daemon.records import Head
from daemon.volumes import needs
from daemon.wire import KeptRow, Refused, SnapshotRow, VolumeRow
from dataplane.dataset import Dataset


class Pool(Protocol):
    """What there is below `root`. Raises dataset.ZfsProblem."""

    @property
    def root(self) -> str: ...
    async def below(self, name: str) -> list[Dataset]: ...


async def volumes(mirror: finding.Mirror, pool: Pool, name: str | None) -> list[VolumeRow]:
    """The volumes of a namespace, or of all, by name. Raises Refused namespace.missing."""
    there = [finding.namespace(mirror, name, f"list the volumes of {name}")] if name else finding.heads(mirror).values()
    below = {one.name: one for one in await pool.below(pool.root)}
    return [row for head in there for row in _volumes(head, pool.root, below)]


def _volumes(head: Head, root: str, below: dict[str, Dataset]) -> Iterator[VolumeRow]:
    for name, volume in sorted(head.volumes.items()):
        found = below.get(f"{root}/{head.namespace}/{name}/{volume.generation}")
        yield VolumeRow(
            namespace=head.namespace,
            name=name,
            machine=volume.machine,
            generation=volume.generation,
            epoch=volume.epoch,
            bytes=found.refers if found else 0,
            alone=found.used if found else 0,
            quota=volume.quota,
            mounted=bool(found and found.path),
        )


async def kept(
    mirror: finding.Mirror, pool: Pool, name: str | None, open: Sequence[str], machine: str
) -> list[KeptRow]:
    """The generations that no name points at any more; also those of namespaces that are gone."""
    below = await pool.below(pool.root)
    found = needs.kept(pool.root, finding.heads(mirror), below)
    return [
        _kept(one, mirror, below, open, machine)
        for one in found
        if name is None or needs.volume_name(one).startswith(f"{name}/")
    ]


def _kept(
    generation: Dataset, mirror: finding.Mirror, below: Sequence[Dataset], open: Sequence[str], machine: str
) -> KeptRow:
    """It was snapshotted right before it was left: its newest snapshot tells when, and by which operation."""
    namespace, _, volume = needs.volume_name(generation).partition("/")
    last = (needs.snapshots(generation.name, below) or [generation])[-1]
    points = needs.by_points(mirror.points(namespace))
    return KeptRow(
        namespace=namespace,
        name=volume,
        machine=machine,
        generation=generation.name.rpartition("/")[2],
        since=needs.moment(last.created),
        operation=last.marks.get("operation", ""),
        bytes=generation.used,
        needed=needs.of_generation(generation.name, points, below, open),
    )


async def snapshots(
    mirror: finding.Mirror, pool: Pool, namespace: str, volume: str, open: Sequence[str]
) -> list[SnapshotRow]:
    """Every snapshot of a volume, oldest first. Raises Refused namespace.missing and volume.missing."""
    cannot = f"list the snapshots of {namespace}/{volume}"
    head, below = finding.namespace(mirror, namespace, cannot), await pool.below(pool.root)
    prefix = f"{pool.root}/{namespace}/{volume}/"
    found = [one for one in below if one.name.startswith(prefix) and "@" in one.name]
    if not found and volume not in head.volumes:
        why, hint = f"there is no volume {volume} in {namespace}", f"ployzctl volume ls {namespace}"
        raise Refused("volume.missing", f"cannot {cannot}", why, hint)
    points = needs.by_points(mirror.points(namespace))
    ordered = sorted(found, key=lambda one: (one.created, one.name))
    return [_snapshot(one, needs.of_snapshot(one, points, below, open)) for one in ordered]


def _snapshot(one: Dataset, needed: list[str]) -> SnapshotRow:
    generation, _, snapshot = one.name.rpartition("/")[2].partition("@")
    return SnapshotRow(
        snapshot=snapshot,
        name=one.marks.get("name"),
        guid=one.guid,
        at=needs.moment(one.created),
        operation=one.marks.get("operation", ""),
        generation=generation,
        bytes=one.alone,
        needed=needed,
    )
