"""A database with little and with much data moves between two machines, beside a stop and a start of it where it is,
and beside `zfs send` into `zfs receive` by hand over the same link."""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from branching import ROW
from figure import Figure, shown

from tests.machine.clients import Unwell, ask
from tests.machine.cluster import IMAGES, Cluster, wait_until
from tests.machine.manifests import demo

ROUNDS = 3
SIZES = (100, 1000)
"""Megabytes that nothing compresses."""
MORE, SHARE = 0.5, 0.95
"""Seconds that a move may be down beyond a stop and a start; what it is to carry, of what is carried by hand."""
SHOP = "shop.localhost"
PLACED = demo(1, quota='"8GiB"').replace("[services.db]", '[services.db]\nplace = { machine = "m1" }')
PORT = 9099
RECEIVE = (
    "import socket, subprocess, sys; s = socket.create_server((sys.argv[1], int(sys.argv[2]))); c, _ = s.accept(); "
    "sys.exit(subprocess.run(['zfs', 'receive', '-u', sys.argv[3]], stdin=c).returncode)"
)
SEND = (
    "import socket, subprocess, sys; c = socket.create_connection((sys.argv[1], int(sys.argv[2]))); "
    "sys.exit(subprocess.run(['zfs', 'send', sys.argv[3]], stdout=c).returncode)"
)


def measure(_: Cluster) -> list[Figure]:
    """On two machines of its own."""
    root = Path(tempfile.mkdtemp(prefix="pz", dir="/var/tmp"))
    cluster = Cluster(root, "pair")
    try:
        cluster.up(2)
        subprocess.run([IMAGES, "load", cluster.engine], check=True, capture_output=True)
        cluster.deployed(PLACED)
        return [
            figure for number, size in enumerate(SIZES) for figure in _of(cluster, size - sum(SIZES[:number]), size)
        ]
    finally:
        cluster.plain("dev", "down", "--name", cluster.name)
        shutil.rmtree(root, ignore_errors=True)


def _of(cluster: Cluster, before: int, size: int) -> list[Figure]:
    """With the database on m1, which had `before` megabytes, and gets as many more as it takes to have `size`."""
    _fill(cluster, size - before)
    by_hand, bytes = _by_hand(cluster)
    floor = [_gap(cluster, lambda: _again(cluster)) for _ in range(ROUNDS)]
    first, told = _timed(cluster, "m2")
    rate, hand_rate = _rate(cluster, told), bytes / by_hand
    back = _changed(cluster)
    gaps = [first, *(_timed(cluster, ("m2", "m1")[turn % 2])[0] for turn in range(2 * ROUNDS))]
    least, most = median(floor), median(gaps)
    beside = f"`docker stop` and `docker start`: {shown(floor)}"
    whole = f"stopped, copied by hand, started: {least + by_hand:.2f} s"
    return [
        Figure(f"nobody answers while {size} MB move", shown(gaps), beside, f"{most - least:+.2f} s",
               f"≤ {MORE:g} s more", most <= least + MORE, len(gaps)),
        Figure(f"the same, {size} MB", shown(gaps), whole, f"{(least + by_hand) / most:.1f} times as long"),
        Figure(f"{size} MB to another machine", f"{rate / 1e6:.0f} MB/s", f"by hand: {hand_rate / 1e6:.0f} MB/s",
               f"{rate / hand_rate:.2f}", f"≥ {SHARE:g}", rate >= SHARE * hand_rate),
        Figure(f"a move back of {size} MB after 1 % changed", f"{back / 1e6:.1f} MB",
               f"all of it: {bytes / 1e6:.1f} MB", f"{back / bytes:.3f}"),
    ]  # fmt: skip


def _move(cluster: Cluster, to: str) -> Any:
    return cluster.done("migrate", "apply", "shop/db", "--to", to, "--op-id", f"op-{to}-{time.time_ns()}", within=600)


def _timed(cluster: Cluster, to: str) -> tuple[float, Any]:
    told: list[Any] = []
    return _gap(cluster, lambda: told.append(_move(cluster, to))), told[0]


def _gap(cluster: Cluster, effect: Callable[[], object]) -> float:
    """The longest time between two rows that a client was acknowledged, meanwhile."""
    acknowledged, over = [time.monotonic()], threading.Event()

    def write() -> None:
        while not over.is_set():
            try:
                ask(cluster.url, SHOP, "POST", "/rows", "x")
                acknowledged.append(time.monotonic())
            except (OSError, Unwell):
                over.wait(0.01)

    client = threading.Thread(target=write)
    client.start()
    wait_until(lambda: len(acknowledged) > 20, "rows are written")
    effect()
    before = len(acknowledged)
    wait_until(lambda: len(acknowledged) > before + 5, "rows are written again")
    over.set()
    client.join()
    return max(later - earlier for earlier, later in pairwise(acknowledged))


def _again(cluster: Cluster) -> None:
    """By hand, where it is."""
    there = cluster.on(_where(cluster))
    name = there.database()
    there.docker("stop", "-t", "10", name)
    there.docker("start", name)


def _where(cluster: Cluster) -> str:
    [row] = [row for row in cluster.done("ps", "shop")["instances"] if row["service"] == "db"]
    return str(row["machine"])


def _fill(cluster: Cluster, size: int) -> None:
    there = cluster.on(_where(cluster))
    entering = ("nsenter", "--target", str(there.holder()), "--mount", "--net", "--pid", "--")
    psql = ("docker", "-H", f"unix://{there.engine}", "exec", "-i", there.database(), "psql", "-qU", "shop")
    table = "CREATE TABLE IF NOT EXISTS bulk (body bytea); ALTER TABLE bulk ALTER body SET STORAGE EXTERNAL"
    there.inside(*psql, "-c", table)
    with subprocess.Popen((*entering, *psql, "-c", "COPY bulk FROM STDIN"), stdin=subprocess.PIPE) as copying:
        assert copying.stdin
        for _ in range(size * 1_000_000 // ROW):
            copying.stdin.write(b"\\\\x" + os.urandom(ROW).hex().encode() + b"\n")
    assert copying.returncode == 0
    there.inside(*psql, "-c", "CHECKPOINT", within=600)


def _changed(cluster: Cluster) -> int:
    """The bytes that go back to m1 after one row of a hundred was written anew."""
    there = cluster.on(_where(cluster))
    one = "DELETE FROM bulk WHERE ctid IN (SELECT ctid FROM bulk LIMIT (SELECT count(*) / 100 FROM bulk))"
    there.docker("exec", there.database(), "psql", "-qU", "shop", "-c", one)
    _fill(cluster, max(1, _megabytes(there) // 100))
    [volume] = _move(cluster, "m1")["volumes"]
    return int(volume["bytes_full"] + volume["bytes_last"])


def _megabytes(there: Cluster) -> int:
    told = there.docker("exec", there.database(), "psql", "-U", "shop", "-Atc", "SELECT sum(length(body)) FROM bulk")
    return int(told) // 1_000_000


def _rate(cluster: Cluster, told: Any) -> float:
    """Bytes a second of the copy, as its journal has them."""
    operation = told["volumes"][0]["generation"]
    events = [one for one in cluster.done("op", "show", operation)["events"] if "copy data" in one.get("step", "")]
    began, ended = (datetime.fromisoformat(one["at"]) for one in (events[0], events[-1]))
    return float(told["volumes"][0]["bytes_full"] / (ended - began).total_seconds())


def _by_hand(cluster: Cluster) -> tuple[float, int]:
    """How long a full copy of it takes by hand from m1 to m2, and how many bytes that is."""
    [row] = cluster.done("volume", "ls", "shop")["volumes"]
    snapshot, there = f"ployz-m1/ployz/shop/data/{row['generation']}@hand", cluster.on("m2")
    cluster.inside("zfs", "snapshot", snapshot)
    size = int(cluster.inside("sh", "-c", f"zfs send {snapshot} | wc -c", within=600))
    place = ("10.210.2.1", str(PORT))
    receiving = threading.Thread(target=there.inside, args=("python3", "-c", RECEIVE, *place, "ployz-m2/hand@hand"),
                                 kwargs={"within": 600})  # fmt: skip
    receiving.start()
    wait_until(lambda: f":{PORT}" in there.inside("ss", "-ltn"), "somebody listens")
    began = time.monotonic()
    cluster.inside("python3", "-c", SEND, *place, snapshot, within=600)
    receiving.join()
    took = time.monotonic() - began
    there.inside("zfs", "destroy", "-r", "ployz-m2/hand")
    cluster.inside("zfs", "destroy", snapshot)
    return took, size
