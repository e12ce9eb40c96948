"""What can be seen of volumes: committed names beside the datasets that the pools hold which can be asked."""

from collections.abc import Iterator, Sequence

from daemon import finding
from daemon.held import Pool, Pools
from daemon.lineage import ADOPTED
from daemon.migrating.planning import estimate
from daemon.records import Head
from daemon.volumes import copies, needs
from daemon.volumes.copies import Copy
from daemon.wire import CopyRow, KeptRow, Refused, SnapshotRow, VolumeRow
from dataplane.dataset import Dataset


def volumes(mirror: finding.Mirror, pools: Pools, name: str | None) -> list[VolumeRow]:
    """The volumes of a namespace, or of all, by name. Raises Refused namespace.missing."""
    there = [finding.namespace(mirror, name, f"list the volumes of {name}")] if name else finding.heads(mirror).values()
    by_name = {machine: {one.name: one for one in pool.below} for machine, pool in pools.items()}
    copied = list(copies.copies(_below(pools)))
    return [row for head in there for row in _volumes(head, pools, by_name, copied)]


def _volumes(
    head: Head, pools: Pools, by_name: dict[str, dict[str, Dataset]], copied: Sequence[Copy]
) -> Iterator[VolumeRow]:
    for name, volume in sorted(head.volumes.items()):
        pool = pools.get(volume.machine)
        found = by_name[volume.machine].get(head.dataset(name, pool.root)) if pool else None
        yield VolumeRow(
            namespace=head.namespace,
            name=name,
            machine=volume.machine,
            generation=volume.generation,
            epoch=volume.epoch,
            bytes=found.refers if found else 0 if pool else None,
            alone=found.used if found else 0 if pool else None,
            quota=volume.quota,
            mounted=bool(found and found.path),
            copies=[
                _copy(copy, found, pool.below if pool else ())
                for copy in copied
                if copy.volume == f"{head.namespace}/{name}"
            ],
        )


def _copy(copy: Copy, now: Dataset | None, below: Sequence[Dataset]) -> CopyRow:
    line = needs.snapshots(now.name, below) if now else []
    base = copies.base(copy, line)
    written = estimate(now, line, base) if now and base else None
    generation = copy.generation.name.rpartition("/")[2]
    return CopyRow(copy.machine, generation, needs.moment(copy.snapshots[-1].created), written)


def _below(pools: Pools) -> dict[str, Sequence[Dataset]]:
    return {machine: pool.below for machine, pool in pools.items()}


def kept(mirror: finding.Mirror, pools: Pools, name: str | None, open: Sequence[str]) -> list[KeptRow]:
    """The generations that no name points at any more; also those of namespaces that are gone."""
    heads = finding.heads(mirror)
    return [
        _kept(one, mirror, pools, open, machine)
        for machine, pool in pools.items()
        for one in needs.kept(pool.root, heads, pool.below)
        if name is None or needs.volume_name(one).startswith(f"{name}/")
    ]


def _needed(
    mirror: finding.Mirror, pools: Pools, namespace: str, volume: str, machine: str
) -> tuple[dict[str, list[str]], needs.Along]:
    """The deploy points, and copies, that need each snapshot of a machine, by its guid; and what the volume has with
    it, if it was moved off that machine, as far as who has it now answers."""
    heads = finding.heads(mirror)
    to = needs.moved_to(heads.get(namespace), volume, machine)
    there = pools.get(to) if to else None
    gone = needs.along(namespace, volume, there.below) if there else needs.NOTHING
    copied = copies.needed(machine, heads.values(), _below(pools))
    return needs.merged(needs.by_points(finding.points(mirror), gone), copied), gone


def _kept(generation: Dataset, mirror: finding.Mirror, pools: Pools, open: Sequence[str], machine: str) -> KeptRow:
    """It was snapshotted right before it was left: its newest snapshot tells when, and by which operation."""
    namespace, _, volume = needs.volume_name(generation).partition("/")
    below, (needed, gone) = pools[machine].below, _needed(mirror, pools, namespace, volume, machine)
    last = (needs.snapshots(generation.name, below) or [generation])[-1]
    return KeptRow(
        namespace=namespace,
        name=volume,
        machine=machine,
        generation=generation.name.rpartition("/")[2],
        since=needs.moment(last.created),
        operation=last.marks.get("operation", ""),
        bytes=generation.used,
        needed=needs.of_generation(generation.name, needed, below, open, gone),
        snapshot=last.name.partition("@")[2],
        adopted=generation.marks.get("state") == ADOPTED,
    )


def snapshots(
    mirror: finding.Mirror, pools: Pools, namespace: str, volume: str, open: Sequence[str]
) -> list[SnapshotRow]:
    """Every snapshot of a volume, oldest first, also of what is left of one. Raises Refused namespace.missing and
    volume.missing."""
    cannot = f"list the snapshots of {namespace}/{volume}"
    found = list[tuple[int, str, SnapshotRow]]()
    for machine, pool in pools.items():
        needed, gone = _needed(mirror, pools, namespace, volume, machine)
        for one in _of_volume(pool, namespace, volume):
            who = needs.of_snapshot(one, needed, pool.below, open, gone)
            found.append((one.created, one.name, _snapshot(one, who, machine)))
    if not found and volume not in finding.namespace(mirror, namespace, cannot).volumes:
        why, hint = f"there is no volume {volume} in {namespace}", f"ployzctl volume ls {namespace}"
        raise Refused("volume.missing", f"cannot {cannot}", why, hint)
    return [row for _, _, row in sorted(found, key=lambda one: one[:2])]


def _of_volume(pool: Pool, namespace: str, volume: str) -> list[Dataset]:
    prefix, own = f"{pool.root}/{namespace}/{volume}/", {"namespace": namespace, "volume": volume}
    return [one for one in pool.below if "@" in one.name and _is_of(one, prefix, own)]


def _is_of(snapshot: Dataset, prefix: str, own: dict[str, str]) -> bool:
    """What somebody named is of the volume that it was taken of, wherever promotions have taken it."""
    return own.items() <= snapshot.marks.items() if "name" in snapshot.marks else snapshot.name.startswith(prefix)


def _snapshot(one: Dataset, needed: list[str], machine: str) -> SnapshotRow:
    generation, _, snapshot = one.name.rpartition("/")[2].partition("@")
    return SnapshotRow(
        snapshot=snapshot,
        name=one.marks.get("name"),
        guid=one.guid,
        at=needs.moment(one.created),
        operation=one.marks.get("operation", ""),
        generation=generation,
        machine=machine,
        bytes=one.alone,
        needed=needed,
    )
