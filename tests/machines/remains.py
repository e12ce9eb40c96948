"""What is left of a namespace on several machines that nothing explains: datasets, instances, views, open operations.

A reason to be there is one of: the generation that a volume's name points at; one that is kept, and holds something
that has a reason; a snapshot that a deploy point holds, that somebody named, that something is a clone of, or that is
the newest of its volume that two machines have in common; an instance that `ps` tells of.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from daemon.lineage import volume_of
from tests.machine.cluster import Cluster, wait_until
from tests.machine.explained import unended

OURS = ("local", "received")
"""Where a mark comes from that is a dataset's own: what a snapshot shows besides is its dataset's."""


def require_nothing_left(cluster: Cluster, namespace: str, machines: Sequence[str]) -> None:
    """Looked at until it is so: claims and views go some moments after the answer."""
    found: list[str] = []

    def nothing() -> bool:
        found[:] = remains(cluster, namespace, machines)
        return not found

    try:
        wait_until(nothing, "everything is explained")
    except AssertionError:
        raise AssertionError("\n".join(["nothing explains this:", *found])) from None


def remains(cluster: Cluster, namespace: str, machines: Sequence[str]) -> list[str]:
    """A sentence for each thing without a reason."""
    volumes = cluster.done("volume", "ls", namespace)["volumes"]
    current = {f"ployz-{row['machine']}/ployz/{namespace}/{row['name']}/{row['generation']}" for row in volumes}
    deploys = cluster.done("history", namespace)["deploys"]
    held = {f"{volume}@{name}" for deploy in deploys for volume, name in deploy["snapshots"].items()}
    instances = cluster.done("ps", namespace)["instances"]
    found = [*unended(cluster)]
    pools = {machine: _pool(cluster.on(machine), namespace) for machine in machines}
    for machine in machines:
        there = cluster.on(machine)
        wanted = {row["id"] for row in instances if row["machine"] == machine and row["id"]}
        others = [pool.guids for name, pool in pools.items() if name != machine]
        found += [f"{machine}: {said}" for said in unneeded(pools[machine], current, held, others)]
        found += [f"{machine}: {said}" for said in _instances(there, namespace, wanted)]
    return found


@dataclass(frozen=True)
class Pool:
    """What a machine has of a namespace, oldest first, and the guid of each; the own marks of all that it has, and what
    they came from."""

    names: list[str]
    guids: dict[str, str]
    origins: Collection[str]
    state: Mapping[str, str]
    named: Collection[str]


def _pool(there: Cluster, namespace: str) -> Pool:
    below = f"ployz-{there.at}/ployz/{namespace}/"
    listed = there.inside("zfs", "list", "-H", "-t", "all", "-s", "creation", "-o", "name,origin").splitlines()
    origins = dict(line.split("\t") for line in listed)
    names = [name for name in origins if name.startswith(below) and name.count("/") == below.count("/") + 1]
    told = there.inside("zfs", "get", "-Hp", "-r", "-o", "name,value", "guid", f"ployz-{there.at}/ployz").splitlines()
    guids = dict(line.split("\t") for line in told)
    state, named = (marks(there, mark) for mark in ("ployz:state", "ployz:name"))
    return Pool(names, {name: guids[name] for name in names}, {*origins.values()}, state, named)


def unneeded(pool: Pool, current: set[str], held: set[str], others: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Of a machine's pool, where names point at the generations `current`, deploy points hold the snapshots `held`
    (VOLUME@SNAPSHOT), and the `others` have these, by guid."""
    common = _for_moves(pool, current, others)
    needed = {name for name in pool.names if ("@" in name and _is_needed(name, pool, held)) or name in common}
    holding = {name.partition("@")[0] for name in needed}
    for name in pool.names:
        state = pool.state.get(name)
        if "@" in name:
            if name not in needed:
                yield f"the snapshot {name}"
        elif name in current and state != "current":
            yield f"the generation {name} is {state}"
        elif name not in current and state != "kept":
            yield f"{name} is {state}, and no name points at it"
        elif name not in current and name not in holding:
            yield f"{name} is kept, and nobody needs what it holds"


def _is_needed(snapshot: str, pool: Pool, held: set[str]) -> bool:
    volume, name = snapshot.split("/")[-2], snapshot.partition("@")[2]
    return f"{volume}@{name}" in held or snapshot in pool.named or snapshot in pool.origins


def _for_moves(pool: Pool, current: set[str], others: Sequence[Mapping[str, str]]) -> set[str]:
    """Of each volume the newest that was left for moves, for each of the other machines that has it too; and where the
    volume was once, as many older ones as there are other machines: what became of those is only seen to when a deploy
    point is forgotten."""
    volumes: dict[str, list[str]] = {}
    for name in pool.names:
        if "@" in name and pool.state.get(name) == "base":
            volumes.setdefault(volume_of(name), []).append(name)
    found = set[str]()
    for bases in volumes.values():
        for guids in others:
            found |= {*[name for name in bases if pool.guids[name] in guids.values()][-1:]}
        old = [name for name in bases if name not in found and name.partition("@")[0] not in current]
        found |= {*old[-len(others) :]}
    return found


def marks(there: Cluster, mark: str) -> dict[str, str]:
    """The own mark of each dataset that has one."""
    told = there.inside("zfs", "get", "-H", "-r", "-o", "name,value,source", mark, f"ployz-{there.at}/ployz")
    rows = [line.split("\t") for line in told.splitlines()]
    return {name: value for name, value, source in rows if source.strip() in OURS}


def _instances(there: Cluster, namespace: str, wanted: set[str]) -> Iterator[str]:
    containers = there.docker("ps", "-a", "--format", "{{.Names}}").split()
    names = [*containers, *(folder.name for folder in (there.machine / "data" / "host").glob("*"))]
    has = {name for name in names if name.startswith(f"{namespace}-")}
    yield from (f"the instance {name}" for name in sorted(has - wanted))
    yield from (f"the instance {name} is missing" for name in sorted(wanted - has))
    yield from (f"the view {file.name}" for file in (there.machine / "data" / "serving").glob("*.view"))
