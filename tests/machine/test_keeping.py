"""What is kept of the past of a namespace: no more than it says, row by row, and space comes back."""

import random

import pytest

from tests.machine.cluster import Cluster
from tests.machine.manifests import service

BYTES = 4 * 1024 * 1024
"""What each deploy adds to the volume, of which nothing can be compressed."""


def manifest(version: int, keep: int = 2) -> str:
    writer = service("app", volumes='{ data = "/data" }', env=f'{{ VERSION = "{version}" }}', stop_grace='"1s"')
    return f'namespace = "past"\nkeep = {keep}\n{writer}[volumes.data]\nmode = "0777"\n'


class Past:
    """The namespace, and the rows that each of its deploys has."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.rows = cluster, dict[int, list[str]]()
        self.random = random.Random(7)
        self.made = 0
        self.restored = set[int]()

    def deploy(self) -> None:
        self.made += 1
        self._at(self.cluster.deployed(manifest(self.made)))

    def roll_back(self) -> None:
        to = self.random.choice(self.points())
        self.restored.add(to)
        done = self.cluster.done("rollback", "past", "--to", str(to))
        assert self.read() == self.rows[to]
        self._at(done)

    def _at(self, done: dict[str, int]) -> None:
        number = done["deploy"]
        self.run(f"set -e; head -c {BYTES} /dev/urandom > /data/filling; echo written at {number} >> /data/rows; sync")
        self.rows[number] = self.read()

    def read(self) -> list[str]:
        return self.run("cat /data/rows").splitlines()

    def run(self, script: str) -> str:
        ran = self.cluster.plain("exec", "past/app", "--", "sh", "-c", script)
        assert ran.code == 0, ran.err
        return ran.out

    def points(self) -> list[int]:
        deploys = self.cluster.done("history", "past")["deploys"]
        return [one["number"] for one in deploys if not one["current"]]

    def datasets(self) -> list[str]:
        return [name for name in self.cluster.datasets() if "/past" in name]


@pytest.fixture
def past(cluster: Cluster) -> Past:
    return Past(cluster)


def test_twelve_deploys_a_removal_a_restoration_and_a_purge(past: Past) -> None:
    cluster = past.cluster
    used = cluster.done("status")["pools"][0]["used"]
    for step in range(12):
        (past.roll_back if step % 3 == 2 else past.deploy)()
        assert len(past.points()) == min(2, step)
    generations = [name for name in past.datasets() if name.count("/") >= 4 and "@" not in name]
    assert len(generations) <= 3, "no more generations than deploy points"
    held = cluster.done("status")["pools"][0]["used"] - used
    assert held < 6 * BYTES, f"{held} bytes are held for three deploys of {BYTES}"

    removed = cluster.done("namespace", "rm", "past")
    last = removed["deploy"]
    assert [(v["name"], v["data"]) for v in removed["volumes"]] == [("data", "kept")]
    assert not [line for line in cluster.containers() if "past-" in line]
    listed = cluster.done("namespace", "ls")
    assert "past" in [one["name"] for one in listed["removed"]]
    assert "past" not in [one["name"] for one in listed["namespaces"]]

    anew = cluster.deploy(manifest(1, keep=9))
    assert any(f"ployzctl rollback past --to {last}" in warning for warning in anew.json["warnings"])
    assert past.run("ls /data | grep rows || true") == "", "it begins empty"
    fresh = [one for one in past.points() if one in past.rows and one not in past.restored]
    assert last in fresh
    for point in fresh:
        asked = cluster.plain("history", "show", "past", str(point), "--manifest").out.replace("keep = 2", "keep = 9")
        assert asked.startswith(f'data = "deploy {point}"\n')
        cluster.deployed(asked)
        assert past.read() == past.rows[point]
        assert "data =" not in cluster.plain("export", "past").out.split("[services")[0]
        past.run("echo written since >> /data/rows; sync")
        cluster.deployed(asked)
        assert past.read() == [*past.rows[point], "written since"], "the same file again throws nothing away"
    cluster.done("rollback", "past", "--to", str(last))
    assert past.read() == past.rows[last]

    unasked = cluster.ctl("namespace", "rm", "past", "--purge")
    assert (unasked.code, unasked.error["code"]) == (3, "question.unanswered")
    purged = cluster.done("namespace", "rm", "past", "--purge", "--yes")
    assert [v["data"] for v in purged["volumes"]] == ["purged"]
    assert past.datasets() == []
    assert cluster.ctl("history", "past").error["code"] == "namespace.missing"
    assert cluster.done("status")["pools"][0]["used"] - used < BYTES
