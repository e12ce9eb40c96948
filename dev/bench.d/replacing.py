"""A deploy that replaces one service, in turn with the same done by hand on the same engine and the same pool."""

import sys
from pathlib import Path

from figure import Figure, compared, seconds

from tests.machine.cluster import DEMO, Cluster

ROUNDS = 9
AIM = 1.2
HAND = Path(__file__).parent / "by_hand.py"
FOLDER = "/run/hand"


def measure(cluster: Cluster) -> list[Figure]:
    """One stateless service, then one with a volume."""
    cluster.docker("network", "create", "--subnet", "10.77.0.0/24", "hand")
    cluster.inside("zfs", "create", "-o", f"mountpoint={FOLDER}", "ployz-m1/hand")
    cluster.inside("chown", "999:999", FOLDER)
    _by_hand(cluster, "db", 0, FOLDER)
    _by_hand(cluster, "web", 0, "2")
    return [
        _measure(cluster, "web", "a deploy that replaces a stateless service"),
        _measure(cluster, "db", "a deploy that replaces a service with a volume, and keeps the way back"),
    ]


def _measure(cluster: Cluster, service: str, what: str) -> Figure:
    ours, theirs = [], []
    for turn in range(1, ROUNDS + 2):
        text = _web(turn) if service == "web" else _db(turn)
        ours.append(seconds(lambda text=text: cluster.done("deploy", "-f", "-", given=text)))
        theirs.append(_by_hand(cluster, service, turn, str(turn % 2 + 1) if service == "web" else FOLDER))
    return compared(what, ours[1:], "by hand with `docker`", theirs[1:], AIM)


def _web(turn: int) -> str:
    return (DEMO / f"shop-{turn % 2 + 1}.toml").read_text()


def _db(turn: int) -> str:
    """The version that is there, with a database of another environment."""
    return _web(ROUNDS + 1).replace(
        'image = "ployz-demo/db:1"', f'image = "ployz-demo/db:1"\nenv = {{ RUN = "{turn}" }}'
    )


def _by_hand(cluster: Cluster, service: str, turn: int, which: str) -> float:
    old = f"hand-{service}-{turn - 1}" if turn else "-"
    return float(
        cluster.inside(sys.executable, str(HAND), str(cluster.engine), service, old, f"hand-{service}-{turn}", which)
    )
