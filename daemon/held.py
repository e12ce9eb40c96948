"""Namespaces beside the datasets that they hold: pure functions from records and datasets to results.

Bytes are those that no other dataset holds too; so of what several snapshots share, none counts it. What is on a
machine whose pool cannot be asked is not in a sum; where no pool answers, nobody knows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from daemon import rows
from daemon.lineage import LEFT
from daemon.manifest import parse
from daemon.records import DeployPoint, Head
from daemon.wire import (
    KeptGeneration,
    NamespaceRow,
    NamespaceSeen,
    RemovedRow,
    ResultInstance,
    ServiceSeen,
    VolumeSeen,
)
from dataplane.dataset import Dataset


@dataclass(frozen=True)
class Pool:
    """Every dataset below the root of a machine's pool."""

    root: str
    below: Sequence[Dataset]


Pools = Mapping[str, Pool]
"""By machine; those that can be asked."""


def namespace(head: Head, pools: Pools) -> NamespaceRow:
    routes = sorted(route for service in head.services.values() for route in service.routes)
    held = alone(pools, head.namespace)
    return NamespaceRow(head.namespace, head.deploy, head.at, sorted(head.services), sorted(head.volumes), routes, held)


def removed(point: DeployPoint, pools: Pools) -> RemovedRow:
    """Of a namespace without a head, by its last deploy point."""
    name = point.head.namespace
    return RemovedRow(name, point.head.deploy, alone(pools, name))


def seen(head: Head | None, points: Sequence[DeployPoint], pools: Pools) -> NamespaceSeen:
    """Everything about it. Without a head it was removed, and its last point says what it was."""
    last = head or points[-1].head
    kept = [row for pool in pools.values() for row in _kept(pool, last.namespace, head)]
    return NamespaceSeen(
        name=last.namespace,
        removed=head is None,
        deploy=last.deploy,
        deployed_at=last.at,
        who=last.who,
        operation=last.operation,
        restored=last.restored,
        keep=parse(last.manifest).keep,
        services=_services(head) if head else [],
        volumes=_volumes(head, pools) if head else [],
        kept=kept,
        deploys=rows.deploys(head, points),
    )


def _services(head: Head) -> list[ServiceSeen]:
    return [
        ServiceSeen(
            name=name,
            image=service.image,
            digest=service.digest,
            address=service.address,
            ports={port.name: port.number for port in service.ports},
            routes=list(service.routes),
            instances=[ResultInstance(one.id, one.machine, one.ip) for one in service.instances],
        )
        for name, service in sorted(head.services.items())
    ]


def _volumes(head: Head, pools: Pools) -> list[VolumeSeen]:
    found = []
    for name, volume in sorted(head.volumes.items()):
        alone = snapshots = None
        if pool := pools.get(volume.machine):
            dataset = head.dataset(name, pool.root)
            alone = next((one.alone for one in pool.below if one.name == dataset), None)
            snapshots = _sum(pool.below, f"{dataset}@")
        found.append(VolumeSeen(name, volume.machine, volume.generation, volume.quota, alone, snapshots))
    return found


def _kept(pool: Pool, namespace: str, head: Head | None) -> Iterator[KeptGeneration]:
    within = f"{pool.root}/{namespace}/"
    current = {head.dataset(name, pool.root) for name in head.volumes} if head else set()
    for one in pool.below:
        kept = one.marks.get("state") in LEFT and "@" not in one.name and one.name not in current
        if kept and one.name.startswith(within):
            held = one.alone + _sum(pool.below, f"{one.name}@")
            yield KeptGeneration(one.name.split("/")[-2], one.name.split("/")[-1], held)


def alone(pools: Pools, within: str) -> int | None:
    """The bytes that the datasets of a namespace, or of `namespace/volume`, hold and no other dataset does."""
    found = [_sum(pool.below, f"{pool.root}/{within}/") for pool in pools.values()]
    return sum(found) if found else None


def _sum(below: Iterable[Dataset], beginning: str) -> int:
    return sum(one.alone for one in below if one.name.startswith(beginning))
