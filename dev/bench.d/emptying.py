"""A machine with ten services, each with a volume, is emptied: several at once, beside one after the other."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from figure import Figure

from tests.machine.cluster import Cluster

MANY, SIZE = 10, 50
"""How many there are, and how many megabytes, which nothing compresses, each has."""
KEEPER = (
    'namespace = "%s"\n[services.one]\nruntime = "host"\ncommand = ["sleep", "100000"]\nvolumes = { data = "/mnt" }\n'
    'place = { machine = "m1" }\n[volumes.data]\n'
)
FILL = f"dd if=/dev/urandom of=/mnt/data bs=1M count={SIZE} status=none; sync"


def measure(_: Cluster) -> list[Figure]:
    """On three machines of its own."""
    root = Path(tempfile.mkdtemp(prefix="pz", dir="/var/tmp"))
    cluster = Cluster(root, "trio")
    try:
        cluster.up(3)
        one = _timed(cluster, "one", lambda: _one_by_one(cluster))
        many = _timed(cluster, "many", lambda: cluster.done("machine", "drain", "m1", within=600))
        named = f"{MANY} services with {SIZE} MB each leave a machine"
        return [Figure(named, f"{many:.1f} s", f"one by one: {one:.1f} s", f"{one / many:.1f} times as fast")]
    finally:
        cluster.plain("dev", "down", "--name", cluster.name)
        shutil.rmtree(root, ignore_errors=True)


def _timed(cluster: Cluster, stem: str, effort: Callable[[], object]) -> float:
    """The seconds that it takes, with all of them on m1 before, and gone afterwards."""
    names = [f"{stem}{number}" for number in range(MANY)]
    for name in names:
        cluster.deployed(KEEPER % name)
        assert cluster.plain("exec", f"{name}/one", "--", "sh", "-c", FILL).code == 0
    began = time.monotonic()
    effort()
    taken = time.monotonic() - began
    assert {row["machine"] for row in cluster.done("ps")["instances"]} <= {"m2", "m3"}
    for name in names:
        cluster.done("namespace", "rm", name, "--purge", "--yes")
    return taken


def _one_by_one(cluster: Cluster) -> None:
    for number in range(MANY):
        cluster.done("migrate", "apply", f"one{number}/one", "--to", f"m{2 + number % 2}")
