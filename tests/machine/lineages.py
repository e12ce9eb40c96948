"""Families of branches on a real pool: deep, wide, and of a source that was rolled back to before its branch.

As a program, in the sandbox: `dev/sandbox .venv/bin/python -m tests.machine.lineages` makes one twenty deep and one of
fifty, and purges each from either end. The suite makes small ones.
"""

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from daemon.wire import Branch, Deploy, Mutation, NamespaceRm, Rollback
from tests.machine.cluster import Cluster
from tests.machine.lived import Machine, alone

AT_ONCE = 20
"""Branches of one source that are begun at the same time."""


class Family:
    """Namespaces that came from each other; each has rows of its own besides those of its ancestors."""

    def __init__(self, cluster: Cluster) -> None:
        self.machine = Machine(cluster)
        self.rows: dict[str, set[str]] = {}

    def found(self, name: str, version: int = 1) -> None:
        self._do(Deploy(self.machine.manifest(name, version, 9)))
        self.rows.setdefault(name, set())

    def write(self, name: str, row: str) -> None:
        self.machine.write(name, row)
        self.rows[name].add(row)

    def branch(self, source: str, *names: str) -> None:
        """All of them at the same time; each writes its own name then."""
        with ThreadPoolExecutor(AT_ONCE) as side_by_side:
            list(side_by_side.map(lambda name: self._do(Branch(source, name)), names))
        for name in names:
            self.rows[name] = set(self.rows[source])
            self.write(name, name)

    def roll_back(self, name: str, to: int, rows: set[str]) -> None:
        self._do(Rollback(name, to))
        self.rows[name] = rows

    def purge(self, order: Sequence[str]) -> None:
        """One after the other; whoever is left has all of theirs, and in the end the pool has all of its room."""
        for name in order:
            self._do(NamespaceRm(name, purge=True))
            del self.rows[name]
            left = list(self.rows)
            for other in {*left[:1], *left[-1:]}:
                self.require_rows(other)
        self.machine.require_empty()

    def require_all(self) -> None:
        for name in self.rows:
            self.require_rows(name)

    def require_rows(self, name: str) -> None:
        assert self.machine.rows(name) == self.rows[name], name

    def _do(self, request: Mutation) -> None:
        assert self.machine.refusal(request) == "", request


def deep(cluster: Cluster, count: int, *, from_the_root: bool) -> None:
    """A branch of a branch of a …, and all of them purged, the root first or last."""
    family, names = Family(cluster), [f"deep-{at}" for at in range(count + 1)]
    family.found(names[0])
    family.write(names[0], "row")
    for source, name in pairwise(names):
        family.branch(source, name)
    family.require_all()
    family.purge(names if from_the_root else names[::-1])


def wide(cluster: Cluster, count: int, *, from_the_root: bool) -> None:
    """Branches of one source, begun some at a time, and all of them purged, the source first or last."""
    family, names = Family(cluster), [f"wide-{at}" for at in range(count)]
    family.found("wide")
    family.write("wide", "row")
    family.branch("wide", *names)
    family.require_all()
    family.purge(["wide", *names] if from_the_root else [*names, "wide"])


def rolled_back(cluster: Cluster, *, from_the_root: bool) -> None:
    """The source went back to before the snapshot that its branch came from."""
    family = Family(cluster)
    family.found("past")
    family.write("past", "first")
    first = family.machine.deploy("past")
    family.found("past", version=2)
    family.write("past", "second")
    family.branch("past", "future")
    family.roll_back("past", first, {"first"})
    family.require_all()
    family.purge(["past", "future"] if from_the_root else ["future", "past"])


def main() -> None:
    with alone("g") as cluster:
        for from_the_root in (True, False):
            for what, count in ((deep, 20), (wide, 50)):
                began = time.monotonic()
                what(cluster, count, from_the_root=from_the_root)
                order = "the source first" if from_the_root else "the source last"
                told = f"{what.__name__}, {count}, purged with {order}: {time.monotonic() - began:.0f} s\n"
                sys.stdout.write(told)
                sys.stdout.flush()
            rolled_back(cluster, from_the_root=from_the_root)


if __name__ == "__main__":
    main()
