"""What is committed beside what the engine says of it: pure functions from records and conditions to results."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Literal

from daemon.records import DeployPoint, Head, Namespace, Registry, Running, Sealed, Service
from daemon.wire import DeployRow, InstanceRow, NamespaceStatus, PoolStatus, RegistryRow, SecretRow, ServiceStatus
from runtime.instance import Condition

Conditions = Mapping[str, Mapping[str, Condition]]
"""By machine and instance; of machines whose engine can be asked."""
State = Literal["running", "starting", "stopped", "restarting", "missing", "unknown"]
FILLING_UP = 0.8
MANY_RESTARTS = 3
LATELY = timedelta(minutes=10)


def instances(heads: Iterable[Head], conditions: Conditions) -> list[InstanceRow]:
    """A row for each committed instance, and one for each stopped service, by namespace, service and id."""
    rows = (row for head in heads for service in head.services.values() for row in _rows(head, service, conditions))
    return sorted(rows, key=lambda row: (row.namespace, row.service, row.id))


def _rows(head: Head, service: Service, conditions: Conditions) -> list[InstanceRow]:
    if service.stopped:
        return [_stopped(head.namespace, service)]
    return [_instance(head.namespace, service, running, conditions) for running in service.instances]


def _stopped(namespace: str, service: Service) -> InstanceRow:
    """A stopped service has no instance, but it is not forgotten."""
    return InstanceRow(
        id="",
        namespace=namespace,
        service=service.name,
        machine="",
        ip="",
        state="stopped",
        since=None,
        restarts=0,
        last_exit=None,
        image=service.image,
        digest=service.digest,
    )


def _instance(namespace: str, service: Service, running: Running, conditions: Conditions) -> InstanceRow:
    there = conditions.get(running.machine)
    found = (there or {}).get(running.id)
    return InstanceRow(
        id=running.id,
        namespace=namespace,
        service=service.name,
        machine=running.machine,
        ip=running.ip,
        state=_state(found, known=there is not None),
        since=found.since if found else None,
        restarts=found.restarts if found else 0,
        last_exit=found.last_exit if found else None,
        image=service.image,
        digest=service.digest,
    )


def _state(found: Condition | None, *, known: bool) -> State:
    if found is None:
        return "missing" if known else "unknown"
    return "starting" if found.status == "created" else found.status


def namespace(head: Head, rows: Iterable[InstanceRow]) -> NamespaceStatus:
    """How many of its committed instances run, for each service by name. `rows` may hold those of others too."""
    up = [row.service for row in rows if row.namespace == head.namespace and row.state == "running"]
    services = [
        ServiceStatus(head.namespace, name, up.count(name), len(service.instances))
        for name, service in sorted(head.services.items())
    ]
    routes = sorted(route for service in head.services.values() for route in service.routes)
    return NamespaceStatus(head.namespace, head.deploy, head.at, services, routes)


def deploys(head: Head | None, points: Iterable[DeployPoint]) -> list[DeployRow]:
    """The deploy points, newest first; `snapshots` names, for each volume, the one that holds a point's data."""
    rows = [_deploy(point.head, {held.volume: held.snapshot for held in point.data}) for point in points]
    current = [_deploy(head, {}, current=True)] if head else []
    return sorted([*rows, *current], key=lambda row: row.number, reverse=True)


def _deploy(head: Head, snapshots: dict[str, str], *, current: bool = False) -> DeployRow:
    images = {name: pinned(service) for name, service in head.services.items()}
    id = f"{head.namespace}/{head.deploy}"
    return DeployRow(head.deploy, id, head.at, head.who, head.operation, current, images, snapshots)


def pinned(service: Service) -> str:
    """`postgres:16@sha256:…`: the image as it was asked for, and what it meant then; `host` where there is none."""
    is_exact = "@" in service.image or service.specification.runtime == "host"
    return service.image if is_exact else f"{service.image}@{service.digest}"


def troubles(
    rows: Iterable[InstanceRow], unstarted: Mapping[str, str], now: datetime
) -> Iterator[tuple[InstanceRow, str]]:
    """Instances that somebody should look at, and why: gone, ended, not started, or restarting again and again."""
    for row in rows:
        if (why := _trouble(row, now)) and row.id not in unstarted:
            yield row, f"{_named(row)} {why}"
        elif why:
            yield row, _held_back(row, unstarted)


def _trouble(row: InstanceRow, now: datetime) -> str:
    exit = "" if row.last_exit is None else f"last exit {row.last_exit}"
    if row.state == "missing":
        return "is missing: the engine does not know it"
    if _keeps_restarting(row, now):
        return f"keeps restarting ({', '.join(filter(None, [f'{row.restarts} times', exit]))})"
    return f"has ended ({exit or 'it never ran'})" if row.state == "stopped" and row.id else ""


def _held_back(row: InstanceRow, unstarted: Mapping[str, str]) -> str:
    return f"{_named(row)} was not started after the boot: {unstarted[row.id]}"


def _named(row: InstanceRow) -> str:
    return f"instance {row.id} of {row.namespace}/{row.service}"


def filling_up(pools: Iterable[PoolStatus]) -> Iterator[str]:
    """The pools that fill up."""
    for pool in pools:
        if pool.used >= FILLING_UP * pool.size:
            yield f"the pool of {pool.machine} is {100 * pool.used // max(pool.size, 1)} % full"


def exhausted(rows: Iterable[InstanceRow], conditions: Conditions) -> Iterator[str]:
    """Instances that ended because they used more memory than they may."""
    for row in rows:
        found = (conditions.get(row.machine) or {}).get(row.id)
        if found and found.out_of_memory:
            yield (
                f"instance {row.id} of {row.namespace}/{row.service} used more memory than resources.memory lets it, "
                f"and was killed (last exit {row.last_exit})"
            )


def _keeps_restarting(row: InstanceRow, now: datetime) -> bool:
    if row.state == "restarting":
        return True
    lately = row.since is not None and now - datetime.fromisoformat(row.since) < LATELY
    return row.restarts >= MANY_RESTARTS and lately


def secrets(record: Namespace, sealed: Mapping[tuple[str, int], Sealed]) -> list[SecretRow]:
    """A row for each secret of a namespace that is not removed, by name."""
    services = record.head.services.values() if record.head else ()
    found = []
    for name, newest in sorted(record.secrets.items()):
        if not newest.removed:
            told = sealed.get((name, newest.version), Sealed())
            users = sorted(service.name for service in services if name in service.secrets)
            found.append(SecretRow(name, newest.version, told.at, told.who, users))
    return found


def registries(found: Mapping[str, Registry]) -> list[RegistryRow]:
    """A row for each registry that the cluster is somebody at."""
    return [RegistryRow(host, one.user, one.at, one.who) for host, one in sorted(found.items()) if one.user]
