"""Many services: a deploy that changes none of 50, and one of 20 that are new, in turn with the same by hand."""

import sys
from pathlib import Path
from statistics import median

from figure import Figure, compared, seconds, shown

from tests.machine.cluster import Cluster
from tests.machine.manifests import service

ROUNDS = 5
UNCHANGED, NEW = 50, 20
AIM, TIMES = 0.300, 1.2
HAND = Path(__file__).parent / "by_hand.py"


def measure(cluster: Cluster) -> list[Figure]:
    """The new ones first, for they leave nothing behind."""
    return [_new(cluster), _unchanged(cluster)]


def _unchanged(cluster: Cluster) -> Figure:
    manifest = _many("fifty", UNCHANGED)
    cluster.deployed(manifest)
    times = [seconds(lambda: cluster.deployed(manifest)) for _ in range(ROUNDS + 1)][1:]
    cluster.done("namespace", "rm", "fifty", "--purge", "--yes")
    met = median(times) <= AIM
    aim = f"≤ {AIM * 1000:.0f} ms"
    return Figure(f"a deploy of {UNCHANGED} services that changes none", shown(times), aim=aim, met=met, runs=ROUNDS)


def _new(cluster: Cluster) -> Figure:
    cluster.docker("network", "create", "--subnet", "10.78.0.0/24", "many")
    ours, theirs = [], []
    for _ in range(ROUNDS + 1):
        ours.append(seconds(lambda: cluster.deployed(_many("twenty", NEW))))
        cluster.done("namespace", "rm", "twenty", "--purge", "--yes")
        words = (sys.executable, str(HAND), str(cluster.engine), "many", "-", "many", str(NEW))
        theirs.append(float(cluster.inside(*words)))
        cluster.docker("rm", "-f", *(f"many-{number}" for number in range(NEW)))
    cluster.docker("network", "rm", "many")
    beside = "by hand with as many `docker run` at a time"
    return compared(f"a deploy of {NEW} new services", ours[1:], beside, theirs[1:], TIMES)


def _many(namespace: str, count: int) -> str:
    return f'namespace = "{namespace}"\n' + "".join(service(f"web-{number}") for number in range(count))
