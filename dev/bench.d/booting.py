"""How long everything takes to be back after all of a machine was killed at once."""

import os
import signal
import time

from figure import Figure, seconds, shown

from tests.machine.cluster import Cluster, gone, wait_until

ROUNDS = 5


def measure(cluster: Cluster) -> list[Figure]:
    """From the start of the machine until its daemon answers, and until the shop has its database again."""
    rows = cluster.get("/rows")
    daemon, service = [], []
    for _ in range(ROUNDS):
        holder = cluster.holder()
        os.kill(holder, signal.SIGKILL)
        wait_until(lambda holder=holder: gone(holder), "the machine is off")
        began = time.perf_counter()
        daemon.append(seconds(cluster.start_daemon))
        wait_until(lambda: _answers(cluster), "the shop answers", within=60)
        service.append(time.perf_counter() - began)
        assert cluster.get("/rows") == rows
    return [
        Figure("start of a machine that was killed whole, until `ployzd` answers", shown(daemon), runs=ROUNDS),
        Figure("the same, until a service with a database answers from its data", shown(service), runs=ROUNDS),
    ]


def _answers(cluster: Cluster) -> bool:
    try:
        return cluster.status_of("/rows") == 200
    except OSError:
        return False
