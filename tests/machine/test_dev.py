"""`ployzctl dev`, with everything that a machine really runs: up, ls, env, down, and pulling its plug."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.dev.processes import seen
from tests.machine.cluster import Cluster, wait_until
from tests.machine.left import left, processes


@pytest.fixture
def own() -> Iterator[Cluster]:
    """A cluster of this test's own, not yet made; nothing may be left of it."""
    root = Path(tempfile.mkdtemp(prefix="pz", dir="/var/tmp"))
    links = _links()
    cluster = Cluster(root, "own")
    try:
        yield cluster
        cluster.plain("dev", "down", "--name", "own")
        assert left(root, "own") == []
        assert _links() == links
    finally:
        cluster.plain("dev", "down", "--name", "own")
        shutil.rmtree(root)


def test_up_ls_env_and_down(own: Cluster) -> None:
    [machine] = own.done("dev", "up", "--name", "own")["machines"]
    assert (machine["name"], machine["state"]) == ("m1", "up")
    listed = {"name": "own", "driver": "namespace", "machines": [machine], "partings": []}
    assert own.done("dev", "ls")["clusters"] == [listed]
    told = own.plain("dev", "env", "m1", "--name", "own").out
    assert told.strip() == f"export PLOYZ_SOCKET={machine['socket']}"
    assert own.done("status")["machines"][0]["reachable"]
    assert own.status_of("/", host="nobody.localhost") == 404
    [machine] = own.done("dev", "down", "--name", "own")["machines"]
    assert machine["state"] == "off"
    assert left(own.root, "own") == []
    assert own.done("dev", "ls")["clusters"] == []


def test_a_second_up_touches_nothing(own: Cluster) -> None:
    first = own.done("dev", "up", "--name", "own")
    before = {process.pid: process.since for process in processes(own.root)}
    assert own.done("dev", "up", "--name", "own") == first
    assert {process.pid: process.since for process in processes(own.root)} == before


def test_a_machine_whose_plug_was_pulled_comes_back_with_its_pool_and_records(own: Cluster) -> None:
    own.done("dev", "up", "--name", "own")
    pools, cluster = own.inside("zpool", "list", "-H", "-o", "name,guid"), own.done("status")["store"]["cluster"]
    os.kill(own.holder(), signal.SIGKILL)
    wait_until(lambda: not processes(own.machine), "every process of the machine is gone")
    assert own.ctl("status").code == 1
    own.done("dev", "up", "--name", "own")
    assert own.inside("zpool", "list", "-H", "-o", "name,guid") == pools
    assert own.done("status")["store"]["cluster"] == cluster


def test_of_three_machines_one_is_killed_and_one_is_paused_and_each_is_found_again(own: Cluster) -> None:
    assert [machine["state"] for machine in own.up(3)] == ["up"] * 3
    ones = [own.on(name) for name in ("m1", "m2", "m3")]
    assert [one.done("version")["daemon"]["machine"] for one in ones] == ["m1", "m2", "m3"]
    assert {one.status_of("/", host="nobody.localhost") for one in ones} == {404}
    assert own.plain("dev", "env", "m2", "--name", "own").out == f"export PLOYZ_SOCKET={ones[1].socket}\n"
    pool = ones[1].inside("zpool", "list", "-H", "-o", "guid")
    own.done("dev", "kill", "m2", "--name", "own")
    own.done("dev", "pause", "m3", "--name", "own")
    assert [one.told["state"] for one in ones] == ["up", "off", "paused"]
    assert ones[1].ctl("status").code == 1
    assert [machine["state"] for machine in own.up()] == ["up", "up", "paused"]
    assert ones[1].inside("zpool", "list", "-H", "-o", "guid") == pool
    own.done("dev", "heal", "--name", "own")
    wait_until(lambda: all(each["reachable"] for each in ones[2].done("status")["machines"]), "all reach each other")


def test_an_up_that_was_killed_is_removed(own: Cluster) -> None:
    with own.begin("dev", "up", "--name", "own") as process:
        wait_until(lambda: own.engine.parent.exists(), "its engine is being started")
        process.kill()
    for program in (each for each in seen() if each.argv[-1:] == ("dev",) and each.argv[0] == sys.executable):
        os.kill(program.pid, signal.SIGKILL)
    assert own.ctl("dev", "down", "--name", "own").code == 0
    assert left(own.root, "own") == []


def test_refused_without_touching_anything(own: Cluster) -> None:
    assert own.ctl("dev", "up", "--name", "own", "--machines", "10").error["code"] == "dev.machines"
    assert own.ctl("dev", "down", "--name", "own").error["code"] == "dev.missing"
    assert left(own.root, "own") == []


def _links() -> str:
    return subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout
