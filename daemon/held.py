"""Namespaces beside the datasets that they hold: pure functions from records and datasets to results.

Bytes are those that no other dataset holds too; so of what several snapshots share, none counts it.
"""

from collections.abc import Iterable, Sequence

from daemon import rows
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

Below = Sequence[Dataset] | None
"""Every dataset below the root; None while the pool cannot be asked."""


def namespace(head: Head, below: Below, root: str) -> NamespaceRow:
    routes = sorted(route for service in head.services.values() for route in service.routes)
    held = alone(below, f"{root}/{head.namespace}")
    return NamespaceRow(head.namespace, head.deploy, head.at, sorted(head.services), sorted(head.volumes), routes, held)


def removed(point: DeployPoint, below: Below, root: str) -> RemovedRow:
    """Of a namespace without a head, by its last deploy point."""
    name = point.head.namespace
    return RemovedRow(name, point.head.deploy, alone(below, f"{root}/{name}"))


def seen(head: Head | None, points: Sequence[DeployPoint], below: Below, root: str) -> NamespaceSeen:
    """Everything about it. Without a head it was removed, and its last point says what it was."""
    last = head or points[-1].head
    within = f"{root}/{last.namespace}"
    current = {f"{within}/{v.name}/{v.generation}" for v in head.volumes.values()} if head else set()
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
        volumes=_volumes(head, below, within) if head else [],
        kept=_kept(below or (), within, current),
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


def _volumes(head: Head, below: Below, within: str) -> list[VolumeSeen]:
    found = []
    for name, volume in sorted(head.volumes.items()):
        dataset = f"{within}/{name}/{volume.generation}"
        alone = next((one.alone for one in below or () if one.name == dataset), None)
        snapshots = None if below is None else _sum(below, f"{dataset}@")
        found.append(VolumeSeen(name, volume.machine, volume.generation, volume.quota, alone, snapshots))
    return found


def _kept(below: Iterable[Dataset], within: str, current: set[str]) -> list[KeptGeneration]:
    there = list(below)
    generations = [one for one in there if one.name.startswith(f"{within}/") and one.name not in current]
    return [
        KeptGeneration(one.name.split("/")[-2], one.name.split("/")[-1], one.alone + _sum(there, f"{one.name}@"))
        for one in generations
        if one.marks.get("state") == "kept" and "@" not in one.name
    ]


def alone(below: Below, within: str) -> int | None:
    """The bytes that the datasets below `within` hold and no other dataset does; None if nobody knows."""
    return None if below is None else _sum(below, f"{within}/")


def _sum(below: Iterable[Dataset], beginning: str) -> int:
    return sum(one.alone for one in below if one.name.startswith(beginning))
