"""Instances that die by themselves: nobody is led there while they are down, and everybody once they are ready."""

import json
import subprocess
import time

import pytest

from tests.machine.cluster import Cluster, wait_until
from tests.machine.explained import explained
from tests.machine.manifests import LITE, lite


def instances(cluster: Cluster) -> dict[str, str]:
    """Their addresses, by id."""
    return {row["id"]: row["ip"] for row in cluster.done("ps", "lite")["instances"]}


def virtual(cluster: Cluster) -> str:
    """The service's stable address."""
    heads = json.loads((cluster.machine / "data/serving/heads").read_text())
    return str(heads["lite"]["services"]["web"]["address"])


def led_to(cluster: Cluster) -> set[str]:
    rules = cluster.rules()
    return {id for id, ip in instances(cluster).items() if f"{ip} " in rules}


def asked(cluster: Cluster, times: int) -> None:
    """Each of these requests has to be answered."""
    for _ in range(times):
        assert cluster.get("/version", host=LITE) == "1"


def test_one_of_two_dies_and_comes_back(light: Cluster) -> None:
    light.deployed(lite(replicas="2"))
    both = set(instances(light))
    dead, other = sorted(both)
    assert led_to(light) == both
    light.docker("stop", "-t", "0", dead)
    wait_until(lambda: led_to(light) == {other}, "nobody is led to the dead one")
    asked(light, 50)
    light.docker("start", dead)
    wait_until(lambda: led_to(light) == both, "it is led to again")
    asked(light, 20)

    light.inside("kill", "-9", light.docker("inspect", "-f", "{{.State.Pid}}", other))
    wait_until(lambda: light.docker("inspect", "-f", "{{.RestartCount}}", other) == "1", "the engine starts it again")
    wait_until(lambda: led_to(light) == both, "it is led to again")
    asked(light, 20)
    explained(light)


def test_all_are_down_while_the_daemon_is_dead_and_are_refused_at_once(light: Cluster) -> None:
    [only] = instances(light)
    light.kill_daemon()
    light.docker("stop", "-t", "0", only)
    light.start_daemon()
    wait_until(lambda: led_to(light) == set(), "a daemon that starts sees who is dead")
    began = time.monotonic()
    with pytest.raises(subprocess.CalledProcessError, match=r"status 1\b"):  # 124 would be: nobody said no
        light.inside("timeout", "5", "bash", "-c", f": </dev/tcp/{virtual(light)}/8080")
    assert time.monotonic() - began < 5
    assert light.status_of("/version", host=LITE) == 502
    light.docker("start", only)
    wait_until(lambda: led_to(light) == {only}, "it is led to again")
    asked(light, 20)
    explained(light)
