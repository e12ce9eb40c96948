"""Copies of volumes on other machines: which there are, who needs what for the next one, what would be lost."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from daemon.lineage import COPY
from daemon.records import Head
from daemon.volumes.needs import snapshots, volume_name
from dataplane.dataset import Dataset

Pools = Mapping[str, Sequence[Dataset]]
"""What there is below the root of each machine that answers."""


class Copy(NamedTuple):
    """A generation on a machine, of `volume` (`<namespace>/<volume>`). It is what its newest snapshot holds."""

    machine: str
    volume: str
    generation: Dataset
    snapshots: Sequence[Dataset]


def copies(pools: Pools) -> Iterator[Copy]:
    """All that there are on these machines."""
    for machine, below in sorted(pools.items()):
        for one in below:
            if "@" not in one.name and one.marks.get("state") == COPY and (held := snapshots(one.name, below)):
                yield Copy(machine, volume_name(one), one, held)


def base(copy: Copy, line: Iterable[Dataset]) -> Dataset | None:
    """The one of these snapshots that the copy is of: the newest that it has too."""
    known = {one.guid: one for one in line if "@" in one.name}
    return next((known[one.guid] for one in reversed(copy.snapshots) if one.guid in known), None)


def needed(machine: str, heads: Iterable[Head], pools: Pools) -> dict[str, list[str]]:
    """The copies that each snapshot of a machine is the base of, by its guid: of the volumes that are there."""
    volumes = ((f"{head.namespace}/{name}", one) for head in heads for name, one in head.volumes.items())
    here = {name for name, one in volumes if one.machine == machine}
    found: dict[str, list[str]] = {}
    for copy in copies(pools):
        if copy.volume in here and (of := base(copy, pools.get(machine, ()))):
            found.setdefault(of.guid, []).append(f"the copy on {copy.machine}")
    return found
