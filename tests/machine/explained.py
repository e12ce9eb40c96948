"""What a machine holds that nothing explains: seen from outside, beside the head, its deploy points and the kept.

A reason to be there is one of: an instance of a head, the generation that a head points at, a kept generation
that holds a deploy point's snapshot, an address or a hostname that a head stands on.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.machine.cluster import Cluster, wait_until

NETWORK_OF_THE_ENGINE = ("bridge", "host", "none", "ploy")


def explained(cluster: Cluster) -> None:
    """Assert that whatever is there has a reason, and that whatever has to be there is.

    The daemon's copy of the records follows the store by some moments: so it is looked at until it is so.
    """
    found: list[str] = []

    def nothing() -> bool:
        found[:] = unexplained(cluster)
        return not found

    try:
        wait_until(nothing, "everything is explained", within=3)
    except AssertionError:
        raise AssertionError("\n".join(["nothing explains this:", *found])) from None


def unexplained(cluster: Cluster) -> list[str]:
    """A sentence for each thing without a reason, and each reason without its thing."""
    heads = _heads(cluster)
    return [
        *_operations(cluster),
        *_containers(cluster, heads),
        *_datasets(cluster, heads),
        *_records(cluster, heads),
        *_views(cluster),
        *_sent(cluster, heads),
    ]


def _heads(cluster: Cluster) -> list[Any]:
    """The heads, as the records have them; they have to be those that `status` and `ps` tell of."""
    records = _values(cluster, "namespaces.")
    heads = [record["head"] for record in records.values() if record.get("head")]
    told = {(one["name"], one["deploy"]) for one in cluster.done("status")["namespaces"]}
    assert told == {(head["namespace"], head["deploy"]) for head in heads}
    return heads


def _operations(cluster: Cluster) -> Iterator[str]:
    for row in cluster.done("op", "ls")["operations"]:
        yield f"operation {row['id']} is {row['state']}"
    for name, record in _values(cluster, "operations.").items():
        if not record.get("ending"):
            yield f"{name} has no ending"
    for name, record in _values(cluster, "namespaces.").items():
        for claim in record.get("claims", ()):
            yield f"{name} is claimed by {claim['operation']}"


def _containers(cluster: Cluster, heads: list[Any]) -> Iterator[str]:
    wanted = {instance["id"] for instance in _instances(heads)}
    states = dict(
        line.split(" ") for line in cluster.docker("ps", "-a", "--format", "{{.Names}} {{.State}}").split("\n")
    )
    for name in sorted(wanted | set(states)):
        if name not in wanted:
            yield f"container {name} ({states[name]})"
        elif states.get(name) != "running":
            yield f"instance {name} is {states.get(name, 'missing')}"
    for row in cluster.done("ps")["instances"]:
        if row["state"] != "running":
            yield f"ps says that {row['id']} is {row['state']}"


def _datasets(cluster: Cluster, heads: list[Any]) -> Iterator[str]:
    current, held = _generations(heads), _held(cluster)
    told = cluster.inside("zfs", "list", "-H", "-t", "all", "-o", "name,ployz:state,mounted,mountpoint")
    rows = [line.split("\t") for line in told.splitlines()]
    owners = {name.partition("@")[0] for name, *_ in rows if "@" in name}
    for name, state, mounted, _ in rows:
        path = name.split("/")[2:]
        if "@" in name:
            if (path[1], path[2].partition("@")[2]) not in held.get(path[0], ()):
                yield f"snapshot {name}"
        elif len(path) == 3 and tuple(path) in current:
            if (state, mounted) != ("current", "yes"):
                yield f"the generation {name} is {state}, mounted: {mounted}"
        elif len(path) == 3 and (state != "kept" or name not in owners or mounted == "yes"):
            yield f"dataset {name}, {state}, mounted: {mounted}, with snapshots: {name in owners}"
    names = {tuple(name.split("/")[2:]) for name, *_ in rows}
    yield from (f"the generation {'/'.join(missing)} is missing" for missing in current - names)
    snapshots = {(*name.split("/")[2:4], name.rpartition("@")[2]) for name in (row[0] for row in rows) if "@" in name}
    wanted = {(namespace, *one) for namespace, ones in held.items() for one in ones}
    yield from (f"the snapshot {'/'.join(missing)} is missing" for missing in wanted - snapshots)


def _held(cluster: Cluster) -> dict[str, set[tuple[str, str]]]:
    """(volume, snapshot) of each namespace's deploy points."""
    names = [one["name"] for one in cluster.done("status")["namespaces"]]
    return {
        name: {held for deploy in cluster.done("history", name)["deploys"] for held in deploy["snapshots"].items()}
        for name in names
    }


def _records(cluster: Cluster, heads: list[Any]) -> Iterator[str]:
    services = [service for head in heads for service in head["services"].values()]
    wanted = {f"address.{instance['ip']}" for instance in _instances(heads)}
    wanted |= {f"service.{service['address']}" for service in services if service["address"]}
    wanted |= {f"hostname.{route.partition('/')[0]}" for service in services for route in service["routes"]}
    reserved = {
        name.removeprefix("reserved.").replace("=2E", ".")
        for name, record in _values(cluster, "reserved.").items()
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
    yield from (f"a view sends {element}" for element in maps["members"])
    sent = {(str(key["concat"][0]), str(value["concat"][0])) for key, value in maps["everybody"]}
    services = [service for head in heads for service in head["services"].values() if service["address"]]
    wanted = {(service["address"], one["ip"]) for service in services for one in service["instances"]}
    yield from (f"{address} is sent to {ip}" for address, ip in sorted(sent - wanted))
    yield from (f"{address} is not sent to {ip}" for address, ip in sorted(wanted - sent))


def _instances(heads: list[Any]) -> list[Any]:
    return [instance for head in heads for service in head["services"].values() for instance in service["instances"]]


def _generations(heads: list[Any]) -> set[tuple[str, str, str]]:
    return {
        (head["namespace"], volume["name"], volume["generation"])
        for head in heads
        for volume in head["volumes"].values()
    }


def _serving(cluster: Cluster) -> Path:
    return cluster.machine / "data" / "serving"


def _values(cluster: Cluster, prefix: str) -> dict[str, Any]:
    """The daemon's own copy of the records of a kind, by their keys."""
    files = (cluster.machine / "data" / "mirror").glob(f"{prefix}*.record")
    return {file.name.removesuffix(".record"): json.loads(file.read_bytes().partition(b"\n")[2]) for file in files}
