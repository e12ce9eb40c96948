"""How long a cluster of five machines takes to be up, and one of them to be back after its plug was pulled."""

import shutil
import tempfile
from pathlib import Path

from figure import Figure, seconds, shown

from tests.machine.cluster import Cluster

ROUNDS = 3
AIM = 60.0
"""Seconds for five."""


def measure(_: Cluster) -> list[Figure]:
    """Each round makes a cluster of its own, beside the one that is there."""
    rounds = [_round() for _ in range(ROUNDS)]
    made, back = [first for first, _ in rounds], [second for _, second in rounds]
    met = max(made) <= AIM
    return [
        Figure("`dev up --machines 5`", shown(made), aim=f"≤ {AIM:g} s", met=met, runs=ROUNDS),
        Figure("`dev up` when one of five was killed", shown(back), runs=ROUNDS),
    ]


def _round() -> tuple[float, float]:
    root = Path(tempfile.mkdtemp(prefix="pz", dir="/var/tmp"))
    cluster = Cluster(root, "five")
    try:
        made = seconds(lambda: cluster.up(5))
        cluster.done("dev", "kill", "m3", "--name", cluster.name)
        return made, seconds(cluster.up)
    finally:
        cluster.plain("dev", "down", "--name", cluster.name)
        shutil.rmtree(root, ignore_errors=True)
