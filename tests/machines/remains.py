"""What is left of a namespace on several machines that nothing explains: datasets, instances, views, open operations.

A reason to be there is one of: the generation that a volume's name points at; one that is kept, and has snapshots; a
snapshot that a deploy point holds, that somebody named, that two machines have in common, or that something is a clone
of; an instance that `ps` tells of.
"""

from collections.abc import Iterator, Sequence

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
    for machine in machines:
        there = cluster.on(machine)
        wanted = {row["id"] for row in instances if row["machine"] == machine and row["id"]}
        found += [f"{machine}: {said}" for said in _datasets(there, namespace, current, held)]
        found += [f"{machine}: {said}" for said in _instances(there, namespace, wanted)]
    return found


def _datasets(there: Cluster, namespace: str, current: set[str], held: set[str]) -> Iterator[str]:
    below = f"ployz-{there.at}/ployz/{namespace}/"
    listed = there.inside("zfs", "list", "-H", "-t", "all", "-o", "name,origin").splitlines()
    origins = dict(line.split("\t") for line in listed)
    state, named = (_marks(there, mark) for mark in ("ployz:state", "ployz:name"))
    for name in (one for one in origins if one.startswith(below) and one.count("/") == below.count("/") + 1):
        generation, _, snapshot = name.partition("@")
        if snapshot:
            volume = generation.split("/")[-2]
            reason = f"{volume}@{snapshot}" in held or name in named or name in origins.values()
            if not reason and state.get(name) != "base":
                yield f"the snapshot {name}"
        elif name in current and state.get(name) != "current":
            yield f"the generation {name} is {state.get(name)}"
        elif name not in current and state.get(name) != "kept":
            yield f"{name} is {state.get(name)}, and no name points at it"
        elif name not in current and not any(one.startswith(f"{name}@") for one in origins):
            yield f"{name} is kept, and holds nothing"


def _marks(there: Cluster, mark: str) -> dict[str, str]:
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
