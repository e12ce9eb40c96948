"""What a machine holds that nothing explains: seen from outside, beside the head, its deploy points and the kept.

A reason to be there is one of: an instance of a head, the generation that a head points at, a kept generation
that holds a deploy point's snapshot, a snapshot that another dataset descends from, an address or a hostname that a
head stands on.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.machine.cluster import Cluster, wait_until
from tests.machine.recorded import Records, recorded


def explained(cluster: Cluster) -> None:
    """Assert that whatever is there has a reason, and that whatever has to be there is.

    Claims are freed after the answer: so it is looked at until it is so.
    """
    found: list[str] = []

    def nothing() -> bool:
        found[:] = unexplained(cluster)
        return not found

    try:
        wait_until(nothing, "everything is explained")
    except AssertionError:
        raise AssertionError("\n".join(["nothing explains this:", *found])) from None


def unexplained(cluster: Cluster) -> list[str]:
    """A sentence for each thing without a reason, and each reason without its thing."""
    records = recorded(cluster)
    heads = [record["head"] for record in records.get("namespaces", {}).values() if record.get("head")]
    return [
        *_unended(cluster, records),
        *_told(cluster, heads),
        *_containers(cluster, heads),
        *_datasets(cluster, heads),
        *_reserved(records, heads),
        *_views(cluster),
        *_sent(cluster, heads),
    ]


def unended(cluster: Cluster) -> Iterator[str]:
    """Operations that are open, and claims that somebody holds."""
    return _unended(cluster, recorded(cluster))


def _unended(cluster: Cluster, records: Records) -> Iterator[str]:
    for row in cluster.done("op", "ls")["operations"]:
        yield f"operation {row['id']} is {row['state']}"
    for name, record in records.get("operations", {}).items():
        if not record.get("ending"):
            yield f"{name} has no ending"
    for name, record in records.get("namespaces", {}).items():
        for claim in record.get("claims", ()):
            yield f"{name} is claimed by {claim['operation']}"


def _told(cluster: Cluster, heads: list[Any]) -> Iterator[str]:
    """The heads have to be those that `status` tells of."""
    told = {(one["name"], one["deploy"]) for one in cluster.done("status")["namespaces"]}
    there = {(head["namespace"], head["deploy"]) for head in heads}
    yield from (f"status tells of {name} at deploy {deploy}" for name, deploy in sorted(told - there))
    yield from (f"status does not tell of {name} at deploy {deploy}" for name, deploy in sorted(there - told))


def _containers(cluster: Cluster, heads: list[Any]) -> Iterator[str]:
    wanted = {instance["id"] for instance in _instances(heads, but="host")}
    told = cluster.docker("ps", "-a", "--format", "{{.Names}} {{.State}}")
    states = dict(line.split(" ") for line in told.splitlines())
    for name in sorted(wanted | set(states)):
        if name not in wanted:
            yield f"container {name} ({states[name]})"
        elif states.get(name) != "running":
            yield f"instance {name} is {states.get(name, 'missing')}"
    for row in cluster.done("ps")["instances"]:
        if row["state"] != ("running" if row["id"] else "stopped"):  # a stopped service has a row and no instance
            yield f"ps says that {row['id']} is {row['state']}"


def _datasets(cluster: Cluster, heads: list[Any]) -> Iterator[str]:
    current, held = _generations(heads), _held(cluster)
    told = cluster.inside("zfs", "list", "-H", "-t", "all", "-o", "name,ployz:state,mounted,origin")
    rows = [line.split("\t") for line in told.splitlines()]
    snapshots = {_path(name) for name, *_ in rows if "@" in name}
    owners = {path[:3] for path in snapshots}
    held |= {(path[0], path[1], path[3]) for path in map(_path, {row[3] for row in rows} - {"-"})}
    for name, state, mounted, _ in rows:
        path = _path(name)
        if len(path) == 3 and path in current and (state, mounted) != ("current", "yes"):
            yield f"the generation {name} is {state}, mounted: {mounted}"
        if len(path) == 3 and path not in current and (state != "kept" or path not in owners or mounted == "yes"):
            yield f"dataset {name}, {state}, mounted: {mounted}, with snapshots: {path in owners}"
    there = sorted((namespace, volume, snapshot) for namespace, volume, _, snapshot in snapshots)
    yield from (f"snapshot {'/'.join(one)}" for one in there if one not in held or there.count(one) > 1)
    yield from (f"the snapshot {'/'.join(one)} is missing" for one in held - set(there))
    yield from (f"the generation {'/'.join(one)} is missing" for one in current - {_path(name) for name, *_ in rows})


def _path(name: str) -> tuple[str, ...]:
    """(namespace, volume, generation), and the snapshot's name if it is one."""
    return tuple(name.replace("@", "/").split("/")[2:])


def _held(cluster: Cluster) -> set[tuple[str, ...]]:
    """(namespace, volume, snapshot) of every deploy point."""
    names = [one["name"] for one in cluster.done("status")["namespaces"]]
    deploys = [(name, deploy) for name in names for deploy in cluster.done("history", name)["deploys"]]
    return {(name, *held) for name, deploy in deploys for held in deploy["snapshots"].items()}


def _reserved(records: Records, heads: list[Any]) -> Iterator[str]:
    services = [service for head in heads for service in head["services"].values()]
    wanted = {f"address.{instance['ip']}" for instance in _instances(heads)}
    wanted |= {f"service.{service['address']}" for service in services if service["address"]}
    wanted |= {f"hostname.{route.partition('/')[0]}" for service in services for route in service["routes"]}
    reserved = {
        name.removeprefix("reserved.").replace("=2E", ".")
        for name, record in records.get("reserved", {}).items()
        if record.get("operation")
    }
    yield from (f"reserved {name}" for name in sorted(reserved - wanted))
    yield from (f"{name} is not reserved" for name in sorted(wanted - reserved))


def _views(cluster: Cluster) -> Iterator[str]:
    for file in [*_serving(cluster).glob("*.view"), *_serving(cluster).glob("*.new")]:
        yield f"file {file.name}"


def _sent(cluster: Cluster, heads: list[Any]) -> Iterator[str]:
    """What the kernel sends where, beside the addresses of the heads' instances."""
    listed = json.loads(cluster.inside("nft", "-j", "list", "table", "ip", "ployz"))["nftables"]
    maps = {item["map"]["name"]: item["map"].get("elem", []) for item in listed if "map" in item}
    views = [element for name in ("member_one", "member_many") for element in maps[name]]
    yield from (f"a view sends {element}" for element in views)
    everybody = [element for name in ("one", "many") for element in maps[name]]
    sent = {(str(key["concat"][0]), str(value["concat"][0])) for key, value in everybody}
    services = [service for head in heads for service in head["services"].values() if service["address"]]
    wanted = {(service["address"], one["ip"]) for service in services for one in service["instances"]}
    yield from (f"{address} is sent to {ip}" for address, ip in sorted(sent - wanted))
    yield from (f"{address} is not sent to {ip}" for address, ip in sorted(wanted - sent))


def _instances(heads: list[Any], but: str = "") -> list[Any]:
    """All committed instances, without those of services whose digest is `but`."""
    services = [service for head in heads for service in head["services"].values() if service["digest"] != but]
    return [instance for service in services for instance in service["instances"]]


def _generations(heads: list[Any]) -> set[tuple[str, ...]]:
    return {
        (head["namespace"], volume["name"], volume["generation"])
        for head in heads
        for volume in head["volumes"].values()
    }


def _serving(cluster: Cluster) -> Path:
    return cluster.machine / "data" / "serving"
