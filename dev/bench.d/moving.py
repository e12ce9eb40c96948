"""A database with little and with much data moves between two machines, beside a stop and a start of it where it is;
beside `zfs send` into `zfs receive` by hand over the same link; and beside a stop, that, and a start there."""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from branching import ROW
from figure import Figure, shown

from tests.machine.clients import Unwell, ask
from tests.machine.cluster import IMAGES, Cluster, wait_until
from tests.machine.manifests import demo

T = TypeVar("T")
ROUNDS = 3
SIZES = (100, 1000)
"""Megabytes that nothing compresses."""
MORE, SHARE = 0.5, 0.95
"""Seconds that a move may be down beyond a stop and a start; what it is to carry, of what is carried by hand."""
SHOP = "shop.localhost"
PLACED = demo(1, quota='"8GiB"').replace("[services.db]", '[services.db]\nplace = { machine = "m1" }')
PORT, HAND = 9099, "ployz-m2/hand"
PLACE = ("10.210.2.1", str(PORT))
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
        return [figure for before, size in pairwise((0, *SIZES)) for figure in _of(cluster, before, size)]
    finally:
        cluster.plain("dev", "down", "--name", cluster.name)
        shutil.rmtree(root, ignore_errors=True)


def _of(cluster: Cluster, before: int, size: int) -> list[Figure]:
    """With the database on m1, which had `before` megabytes, and gets as many more as it takes to have `size`."""
    _fill(cluster, size - before)
    _, (by_hand, bytes) = _beside_rows(cluster, lambda: _by_hand(cluster))
    floor = [_beside_rows(cluster, lambda: _again(cluster))[0] for _ in range(ROUNDS)]
    first, told = _beside_rows(cluster, lambda: _move(cluster, "m2"))
    rate, hand_rate = _rate(cluster, told), bytes / by_hand
    back = _changed(cluster)
    gaps = [first, *(_beside_rows(cluster, partial(_move, cluster, to))[0] for to in ("m2", "m1") * ROUNDS)]
    least, most, whole = median(floor), median(gaps), _whole(cluster)
    beside = f"`docker stop` and `docker start`: {shown(floor)}"
    return [
        Figure(f"nobody answers while {size} MB move", shown(gaps), beside, f"{most - least:+.2f} s",
               f"≤ {MORE:g} s more", most <= least + MORE, len(gaps)),
        Figure(f"the same, {size} MB", shown(gaps), f"stopped, copied whole and started there by hand: {whole:.2f} s",
               f"{whole / most:.1f} times as long"),
        Figure(f"{size} MB to another machine", f"{rate / 1e6:.0f} MB/s", f"by hand: {hand_rate / 1e6:.0f} MB/s",
               f"{rate / hand_rate:.2f}", f"≥ {SHARE:g}", rate >= SHARE * hand_rate),
        Figure(f"a move back of {size} MB after 1 % changed", f"{back / 1e6:.1f} MB",
               f"all of it: {bytes / 1e6:.1f} MB", f"{back / bytes:.3f}"),
    ]  # fmt: skip


def _move(cluster: Cluster, to: str) -> Any:
    return cluster.done("migrate", "apply", "shop/db", "--to", to, "--op-id", f"op-{to}-{time.time_ns()}", within=600)


def _beside_rows(cluster: Cluster, effect: Callable[[], T]) -> tuple[float, T]:
    """The longest time between two rows that a client was acknowledged, meanwhile; and what came of it."""
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
    told = effect()
    before = len(acknowledged)
    wait_until(lambda: len(acknowledged) > before + 5, "rows are written again")
    over.set()
    client.join()
    return max(later - earlier for earlier, later in pairwise(acknowledged)), told


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
    there.inside(*psql, "-c", "VACUUM", "-c", "CHECKPOINT", within=600)  # or it tidies up while it moves


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
    snapshot = _of_now(cluster)
    cluster.inside("zfs", "snapshot", snapshot)
    size = int(cluster.inside("sh", "-c", f"zfs send {snapshot} | wc -c", within=600))
    receiving = _receiving(cluster.on("m2"))
    began = time.monotonic()
    cluster.inside("python3", "-c", SEND, *PLACE, snapshot, within=600)
    receiving.join()
    took = time.monotonic() - began
    _forget(cluster, snapshot)
    return took, size


def _whole(cluster: Cluster) -> float:
    """How long the database is down that is stopped on m1, copied whole, and started on m2 by hand; it is put back."""
    there, name, snapshot = cluster.on("m2"), cluster.database(), _of_now(cluster)
    image, receiving = cluster.docker("inspect", "-f", "{{.Image}}", name), _receiving(there)
    began = time.monotonic()
    cluster.docker("stop", "-t", "10", name)
    cluster.inside("zfs", "snapshot", snapshot)
    cluster.inside("python3", "-c", SEND, *PLACE, snapshot, within=600)
    receiving.join()
    there.inside("zfs", "set", "mountpoint=/run/hand", HAND)
    there.inside("sh", "-c", f"zfs mount {HAND} 2>/dev/null || zfs mount | grep -q '^{HAND} '")  # zfs-fuse has done so
    data = ("--shm-size", "64m", "-v", "/run/hand:/var/lib/postgresql/data")
    there.docker("run", "-d", "--name", "hand", "--network", "none", *data, image)
    ready = ("pg_isready", "-q", "-h", "127.0.0.1", "-U", "shop", "-d", "shop")
    wait_until(lambda: _succeeds(lambda: there.docker("exec", "hand", *ready)), "it answers on the other machine")
    took = time.monotonic() - began
    there.docker("rm", "-f", "hand")
    cluster.docker("start", name)
    _forget(cluster, snapshot)
    return took


def _succeeds(effort: Callable[[], object]) -> bool:
    try:
        effort()
    except subprocess.CalledProcessError:
        return False
    return True


def _of_now(cluster: Cluster) -> str:
    """The snapshot of the volume on m1 that is copied by hand."""
    [row] = cluster.done("volume", "ls", "shop")["volumes"]
    return f"ployz-m1/ployz/shop/data/{row['generation']}@hand"


def _receiving(there: Cluster) -> threading.Thread:
    """Somebody who listens, and receives one stream."""
    words = ("python3", "-c", RECEIVE, *PLACE, f"{HAND}@hand")
    receiving = threading.Thread(target=there.inside, args=words, kwargs={"within": 600})
    receiving.start()
    wait_until(lambda: f":{PORT}" in there.inside("ss", "-ltn"), "somebody listens")
    return receiving


def _forget(cluster: Cluster, snapshot: str) -> None:
    # What was used a moment ago is busy for another one.
    destroy = partial(cluster.on("m2").inside, "zfs", "destroy", "-r", HAND)
    wait_until(lambda: _succeeds(destroy), "the copy is destroyed")
    cluster.inside("zfs", "destroy", snapshot)
