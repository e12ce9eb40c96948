"""The machines of a cluster as its users see them: who is in, who keeps the records, who takes changes."""

import time
from typing import Any

from tests.machine.cluster import Cluster, Ran

HEALED = 90.0
"""Seconds within which a machine that was cut off reaches all others again: most often 20, of which nine are for giving
up the links that it had; but WireGuard asks one that was away for long less and less often."""
ELECTED = 30.0
"""Seconds within which a store that lost one of three machines takes changes again."""


def machines(cluster: Cluster) -> dict[str, Any]:
    return {row["name"]: row for row in cluster.done("machine", "ls")["machines"]}


def keepers(cluster: Cluster) -> list[str]:
    return [name for name, row in machines(cluster).items() if row["store"]]


def is_alone(cluster: Cluster, called: str = "") -> bool:
    """Whether it is a cluster of its own, under its own name or another one. While it starts anew, it is not."""
    ran = cluster.ctl("machine", "ls")
    return ran.code == 0 and [row["name"] for row in ran.json["result"]["machines"]] == [called or cluster.at]


def is_stale(cluster: Cluster) -> bool:
    return bool(cluster.done("status")["stale_since"])


def set_secret(cluster: Cluster, name: str) -> Ran:
    return cluster.ctl("secret", "set", f"told/{name}", given="x")


def secrets(cluster: Cluster) -> list[str]:
    """The secrets that `set_secret` made, as this machine has them."""
    return [row["name"] for row in cluster.done("secret", "ls", "told")["secrets"]]


def acknowledged(cluster: Cluster, name: str) -> None:
    until = time.monotonic() + HEALED
    while (told := set_secret(cluster, name)).code:
        assert time.monotonic() < until, f"{cluster.at} takes no changes: {told.out}"
