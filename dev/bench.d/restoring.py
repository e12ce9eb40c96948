"""A rollback of code and data, with little and with much data: it should make no difference."""

import os
from pathlib import Path
from statistics import median

from figure import Figure, seconds, shown

from dataplane.zfs_tool import mounts
from tests.machine.cluster import DEMO, Cluster

ROUNDS = 7
SIZES = {"little": 100, "much": 1000}
"""Megabytes of incompressible data, by namespace."""
AIM = 1.2


def measure(cluster: Cluster) -> list[Figure]:
    """Two shops, rolled back in turn; each rollback undoes the one before."""
    for namespace, megabytes in SIZES.items():
        cluster.done("deploy", "-f", "-", given=_shop(1, namespace))
        _fill(cluster, namespace, megabytes)
        cluster.done("deploy", "-f", "-", given=_shop(2, namespace))
    times: dict[str, list[float]] = {namespace: [] for namespace in SIZES}
    for _ in range(ROUNDS + 1):
        for namespace, measured in times.items():
            measured.append(seconds(lambda namespace=namespace: cluster.done("rollback", namespace)))
    little, much = times["little"][1:], times["much"][1:]
    ratio = median(much) / median(little)
    aim = f"the same time (≤ {AIM:g} times)"
    beside = f"with {SIZES['little']} MB: {shown(little)}"
    what = f"a rollback of code and data with {SIZES['much']} MB"
    return [Figure(what, shown(much), beside, f"{ratio:.2f}", aim, ratio <= AIM, ROUNDS)]


def _shop(version: int, namespace: str) -> str:
    text = (DEMO / f"shop-{version}.toml").read_text()
    return text.replace('namespace = "shop"', f'namespace = "{namespace}"').replace('"1GiB"', '"4GiB"')


def _fill(cluster: Cluster, namespace: str, megabytes: int) -> None:
    """Write a file beside the database, in the volume as the machine has it mounted."""
    process = Path("/proc") / str(cluster.holder())
    [place] = [path for name, path in mounts(process / "mountinfo") if f"/{namespace}/data/" in name]
    with (process / "root" / place.lstrip("/") / "filling").open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1_000_000))
        file.flush()
        os.fsync(file.fileno())
