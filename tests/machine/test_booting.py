"""Everything of a machine killed at once, and the machine started again from its disk: all is back, once each."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.machine.cluster import Cluster, gone, wait_until
from tests.machine.cutting import lines
from tests.machine.explained import explained
from tests.machine.manifests import lite, service
from tests.machine.test_killed import new_version, seen

HELD = ("tini", "flock", "sleep")
"""The programs of a machine that is up and does nothing."""


def pull_the_plug(cluster: Cluster) -> None:
    """End the machine: its first process, and with it all others."""
    holder = cluster.holder()
    os.kill(holder, signal.SIGKILL)
    wait_until(lambda: gone(holder), "the machine is off")


def kill_everything_in(cluster: Cluster) -> None:
    """`kill -9` of every process of the machine but those that hold its namespaces."""
    network = os.readlink(f"/proc/{cluster.holder()}/ns/mnt")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            inside = os.readlink(folder / "ns/mnt") == network or "containerd" in (folder / "cgroup").read_text()
            if inside and (folder / "comm").read_text().strip() not in HELD:
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:
            continue


def told_until_it_answers(cluster: Cluster) -> list[int]:
    """What somebody is told who asks for what is in the database, until it is there. 503 comes of the page itself."""
    told: list[int] = []

    def ask() -> bool:
        told.append(cluster.status_of("/rows"))
        return told[-1] == 200

    wait_until(ask, "its database answers")
    return told


def running(cluster: Cluster) -> list[str]:
    return sorted(cluster.docker("ps", "--format", "{{.Names}}").split())


def test_all_is_back_after_everything_was_killed_twice(shop: Cluster, tmp_path: Path) -> None:
    shop.deployed(lite(restart='"no"', replicas="2"))
    shop.done("stop", "lite/web")
    shop.deployed(lite(restart='"no"', replicas="2").replace("lite", "late"))
    shop.write_row()
    state, names = seen(shop), running(shop)
    for kill in (kill_everything_in, pull_the_plug):
        kill(shop)
        shop.start_daemon()
        told = told_until_it_answers(shop)
        assert 503 not in told, f"after {kill.__name__} the page answered before its database: {told}"
        wait_until(lambda: running(shop) == names, f"after {kill.__name__} all instances run")
        wait_until(lambda: shop.status_of("/version", host="late.localhost") == 200, "the other answers")
        assert seen(shop) == state
        shop.write_row()
        state = seen(shop)
        explained(shop)
    assert [row["service"] for row in shop.done("ps", "lite")["instances"] if row["state"] == "stopped"] == ["web"]

    words = new_version(tmp_path / "shop.toml", "boot")
    journal = shop.journal(words[-1])
    with shop.begin("--json", *words) as client:
        wait_until(
            lambda: any('"doing"' in line and "start shop-db" in line for line in lines(journal)), "it is halfway"
        )
        pull_the_plug(shop)
        client.communicate(timeout=60)
    shop.start_daemon()
    shop.settled()
    wait_until(lambda: running(shop) == names, "what was committed runs")
    wait_until(lambda: shop.status_of("/rows") == 200, "its database answers")
    assert seen(shop) == state
    explained(shop)
    for namespace in ("lite", "late"):
        shop.done("namespace", "rm", namespace, "--purge", "--yes")


def test_what_crashes_backs_off_and_shows_with_its_last_words(cluster: Cluster) -> None:
    words = '["sh", "-c", "sleep 2; echo out of luck; exit 3"]'
    down = service("web", restart='"no"', command=words, ready="") + service("loop", command=words, ready="")
    cluster.deployed(f'namespace = "down"\n{down}')
    started = time.monotonic()

    def told(service: str) -> str:
        return next((one for one in cluster.ctl("status").json["warnings"] if f" of down/{service} " in one), "")

    said = ("last exit 3", "keeps restarting", "out of luck")
    wait_until(lambda: (line := told("loop")) != "" and all(words in line for words in said), "the loop is told")
    assert "has ended (last exit 3)" in told("web")
    assert "out of luck" in told("web")
    assert told("web") in cluster.ctl("ps", "down").json["warnings"]
    wait_until(lambda: row(cluster, "loop")["restarts"] >= 3, "it is started again and again")
    assert row(cluster, "loop")["restarts"] <= 1 + (time.monotonic() - started) / 2
    assert (row(cluster, "web")["restarts"], row(cluster, "web")["last_exit"]) == (0, 3)
    cluster.done("stop", "down/loop")
    cluster.deployed('namespace = "down"')


def row(cluster: Cluster, service: str) -> Any:
    [found] = [one for one in cluster.done("ps", "down")["instances"] if one["service"] == service]
    return found
