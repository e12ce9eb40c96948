"""Lives lived on a real machine, through `ployzctl`, with volumes of a real pool.

As a program, in the sandbox: `dev/sandbox .venv/bin/python -m tests.machine.lived FIRST COUNT` lives so many on a
cluster of its own, from that seed on, and ends with the first that differs from its model.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.wire import (
    Branch,
    Deploy,
    Mutation,
    NamespaceRm,
    Promote,
    Rollback,
    VolumeFork,
    VolumePurge,
    VolumeRestore,
    VolumeSnapshot,
)
from dataplane.zfs_tool import mounts
from tests.law.lives import Life, Rows
from tests.machine.cluster import Cluster, scratch, wait_until

SLACK = 4 * 2**20
"""Bytes that a pool may hold more than before although nothing is in it: what ZFS writes about itself."""


class Machine:
    """Its services are processes that only wait: what is lived is their data."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.machines: tuple[str, ...] = (cluster.at,)
        self.before, self.used = cluster.datasets(), self._used()

    def refusal(self, request: Mutation) -> str:
        ran = self.cluster.ctl(*_words(request), given=request.manifest if isinstance(request, Deploy) else "")
        assert ran.code in (0, 3), f"{_words(request)}: {ran.out}{ran.err}"
        return ran.out if ran.code else ""

    def manifest(self, namespace: str, version: int, keep: int) -> str:
        return f"""
namespace = "{namespace}"
keep = {keep}
[services.db]
runtime = "host"
command = ["sleep", "1000000"]
env = {{ VERSION = "{version}" }}
volumes = {{ data = "/srv" }}
ready = {{ exec = ["true"], every = "0.1s" }}
[volumes.data]
"""

    def deploy(self, namespace: str) -> int:
        return int(self.cluster.done("namespace", "inspect", namespace)["deploy"])

    def machine(self, namespace: str) -> str:
        return self.cluster.at

    def runs(self, namespace: str) -> bool:
        return bool(self.cluster.done("namespace", "inspect", namespace)["services"])

    def write(self, namespace: str, row: str) -> None:
        (folder(self.cluster, namespace) / row).touch()

    def rows(self, namespace: str) -> Rows:
        return frozenset(file.name for file in folder(self.cluster, namespace).iterdir())

    def require_sound(self, said: str) -> None:
        open_ones = self.cluster.done("op", "ls")["operations"]
        assert open_ones == [], f"after\n{said}"

    def require_empty(self) -> None:
        """Everything was purged: nothing is left, and the pool has its room again."""
        assert self.cluster.datasets() == self.before
        wait_until(lambda: self._used() <= self.used + SLACK, "the pool has its room again")

    def _used(self) -> int:
        [pool] = self.cluster.done("status")["pools"]
        return int(pool["used"])


def folder(cluster: Cluster, namespace: str, volume: str = "data") -> Path:
    """Where the present data of a volume is mounted, as seen from outside of its machine."""
    process = Path("/proc") / str(cluster.holder())
    rows = cluster.done("volume", "ls", namespace)["volumes"]
    [generation] = [row["generation"] for row in rows if row["name"] == volume]
    ending = f"/{namespace}/{volume}/{generation}"
    [place] = [place for name, place in mounts(process / "mountinfo") if name.endswith(ending)]
    return process / "root" / place.lstrip("/")


def _words(request: Mutation) -> tuple[str, ...]:
    match request:
        case Deploy():
            return ("deploy", "-f", "-")
        case Branch(source=source, target=target):
            return ("branch", "apply", source, target)
        case Promote(source=source, target=target, with_data=with_data):
            return ("promote", source, target, *(["--with-data"] if with_data else []))
        case Rollback(namespace=name, to=to):
            return ("rollback", name, "--to", str(to))
        case NamespaceRm(namespace=name, purge=purge):
            return ("namespace", "rm", name, *(["--purge", "--yes"] if purge else []))
        case VolumeSnapshot(namespace=name, name=label):
            return ("volume", "snapshot", f"{name}/data", label)
        case VolumePurge(namespace=name, snapshot=label):
            return ("volume", "purge", f"{name}/data@{label}", "--yes")
        case VolumeFork(namespace=name, to_namespace=to):
            return ("fork-volume", f"{name}/data", f"{to}/data")
        case VolumeRestore(namespace=name, snapshot=label, to_namespace=to):
            return ("volume", "restore", f"{name}/data@{label}", f"{to}/data")
    raise ValueError(request)


def live(cluster: Cluster, seed: int, steps: int = 24) -> None:
    """One life, to its end."""
    machine = Machine(cluster)
    try:
        Life(machine, seed).live(steps)
        machine.require_empty()
    except BaseException as failure:
        failure.add_note(f"the seed was {seed}")
        raise


@contextmanager
def alone(name: str) -> Iterator[Cluster]:
    """A cluster of one machine without images, for a program of the tests."""
    with scratch(name) as cluster:
        cluster.done("dev", "up", "--name", name)
        yield cluster


def main(first: int, count: int) -> None:
    with alone("l") as cluster:
        for seed in range(first, first + count):
            live(cluster, seed)
            sys.stdout.write(f"life {seed} is lived\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
