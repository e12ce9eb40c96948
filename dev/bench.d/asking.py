"""How long somebody waits who looks: whole processes, beside the engine's own client on the same engine."""

import subprocess
import sys
from statistics import median

from figure import Figure, seconds, shown

from tests.machine.cluster import DEMO, Cluster

ROUNDS = 25
AIM = 0.080


def measure(cluster: Cluster) -> list[Figure]:
    """`ployzctl status` and `ployzctl --json ps`, in turn with `docker ps` and an interpreter that does nothing."""
    ctl = (sys.executable, "-P", "-m", "ctl")
    ways = {
        "status": (*ctl, "status"),
        "ps": (*ctl, "--json", "ps"),
        "docker": ("docker", "-H", f"unix://{cluster.engine}", "ps"),
        "python": (sys.executable, "-P", "-c", "pass"),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS + 1):
        for name, argv in ways.items():
            times[name].append(seconds(lambda argv=argv: _ask(cluster, argv)))
    for measured in times.values():
        del measured[0]  # the first one reads programs from the disk
    beside = f"`docker ps`: {shown(times['docker'])}"
    return [
        _figure("`ployzctl status`, whole process", times["status"], beside, times["docker"]),
        _figure("`ployzctl --json ps`, whole process", times["ps"], beside, times["docker"]),
        Figure("the interpreter's start alone, of which both are made", shown(times["python"]), runs=ROUNDS),
    ]


def _figure(what: str, ours: list[float], beside: str, theirs: list[float]) -> Figure:
    met = median(ours) <= AIM
    ratio = f"{median(ours) / median(theirs):.2f}"
    return Figure(what, shown(ours), beside, ratio, f"≤ {AIM * 1000:.0f} ms", met, len(ours))


def _ask(cluster: Cluster, argv: tuple[str, ...]) -> None:
    subprocess.run(argv, check=True, capture_output=True, env=cluster.environment, cwd=DEMO)
