"""A branch of a shop with little and with much data, beside its containers started by hand, a dump, and a copy."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from figure import Figure, compared, seconds, shown

from tests.machine.cluster import DEMO, Cluster

ROUNDS, SLOW = 5, 2
SIZES = (10, 100, 1000)
"""Megabytes that nothing compresses, as rows of the database."""
FIFTY, OF = 50, 100
SAME, TIMES = 1.1, 1.2
HAND = Path(__file__).parent / "by_hand.py"
POOL, FOLDER = "ployz-m1", "/run/pair"
ROW = 64_000


def measure(cluster: Cluster) -> list[Figure]:
    """Branches and the containers by hand in turn; then, of the largest, the ways that copy every byte."""
    cluster.docker("network", "create", "--subnet", "10.79.0.0/24", "pair")
    for size in SIZES:
        cluster.deployed(_shop(size))
        _fill(cluster, size)
    ours: dict[int, list[float]] = {size: [] for size in SIZES}
    hand: dict[int, list[float]] = {size: [] for size in SIZES}
    for turn in range(ROUNDS + 1):
        for size in SIZES:
            ours[size].append(_branch(cluster, size))
            hand[size].append(_containers(cluster, size, f"{turn}-{size}"))
    most = SIZES[-1]
    return [
        _size_matters_not(ours),
        compared(f"a branch with {most} MB", ours[most][1:], "its containers by hand", hand[most][1:], TIMES),
        _together(cluster, most),
        _beside("a dump into a new database", ours[most][1:], _times(lambda at: _dump(cluster, most, at))),
        _beside("a copy of the directory", ours[most][1:], _times(lambda at: _copy(cluster, most, at))),
        _fifty(cluster),
    ]


def _size_matters_not(ours: dict[int, list[float]]) -> Figure:
    least, *others = SIZES
    ratio = max(median(ours[size][1:]) for size in others) / median(ours[least][1:])
    beside = "; ".join(f"with {size} MB: {shown(ours[size][1:])}" for size in others)
    what, aim = f"a branch with {least} MB", f"the same time (≤ {SAME:g} times)"
    return Figure(what, shown(ours[least][1:]), beside, f"{ratio:.2f}", aim, ratio <= SAME, ROUNDS)


def _together(cluster: Cluster, size: int) -> Figure:
    """By hand both containers start at a time; so does a branch of a manifest without `after`."""
    cluster.deployed(_shop(size).replace('after = ["db"]\n', ""))
    taken = [(_branch(cluster, size), _containers(cluster, size, f"at-a-time-{turn}")) for turn in range(ROUNDS + 1)]
    ours, hand = zip(*taken[1:], strict=True)
    return compared("the same branch, with nothing `after` anything", ours, "its containers by hand", hand, TIMES)


def _containers(cluster: Cluster, size: int, turn: str) -> float:
    with_clone = f"zfs clone -o mountpoint={FOLDER} $snapshot {POOL}/pair"
    return _by_hand(cluster, size, turn, with_clone)[1]


def _beside(what: str, ours: list[float], theirs: list[float]) -> Figure:
    ratio = f"{median(theirs) / median(ours):.1f} times as long"
    return Figure(f"a branch with {SIZES[-1]} MB", shown(ours), f"{what}: {shown(theirs)}", ratio, runs=len(theirs))


def _times(once: Callable[[int], float]) -> list[float]:
    return [once(at) for at in range(SLOW)]


def _name(size: int) -> str:
    return f"shop-{size}"


def _shop(size: int) -> str:
    text = (DEMO / "shop-1.toml").read_text()
    return text.replace('namespace = "shop"', f'namespace = "{_name(size)}"').replace('"1GiB"', '"8GiB"')


def _database(cluster: Cluster, size: int) -> str:
    [id] = [row["id"] for row in cluster.done("ps", _name(size))["instances"] if row["service"] == "db"]
    return str(id)


def _fill(cluster: Cluster, size: int) -> None:
    entering = ("nsenter", "--target", str(cluster.holder()), "--mount", "--net", "--pid", "--")
    psql = ("docker", "-H", f"unix://{cluster.engine}", "exec", "-i", _database(cluster, size), "psql", "-qU", "shop")
    table = "CREATE TABLE bulk (body bytea); ALTER TABLE bulk ALTER body SET STORAGE EXTERNAL"
    cluster.inside(*psql, "-c", table)
    with subprocess.Popen((*entering, *psql, "-c", "COPY bulk FROM STDIN"), stdin=subprocess.PIPE) as copying:
        assert copying.stdin
        for _ in range(size * 1_000_000 // ROW):
            copying.stdin.write(b"\\\\x" + os.urandom(ROW).hex().encode() + b"\n")
    assert copying.returncode == 0
    # What PostgreSQL still has to tidy up it would do while a branch is timed, and do again in each.
    for tidied in ("VACUUM FREEZE bulk", "CHECKPOINT"):
        cluster.inside(*psql, "-c", tidied, within=600)


def _branch(cluster: Cluster, size: int) -> float:
    took = seconds(lambda: cluster.done("branch", "apply", _name(size), "pr"))
    cluster.done("namespace", "rm", "pr", "--purge", "--yes")
    return took


def _dataset(cluster: Cluster, size: int) -> str:
    [row] = cluster.done("volume", "ls", _name(size))["volumes"]
    ending = f"/{_name(size)}/data/{row['generation']}"
    return next(name for name in cluster.datasets() if name.endswith(ending))


def _by_hand(cluster: Cluster, size: int, turn: str, making: str) -> tuple[float, float]:
    """How long it takes to make its data in FOLDER from a `$snapshot`, and then to start both containers on that."""
    snapshot = f"{_dataset(cluster, size)}@hand"
    script = f"snapshot={snapshot}; zfs snapshot $snapshot; {making}"
    made = seconds(lambda: cluster.inside("sh", "-ec", script, within=1200))
    words = (sys.executable, str(HAND), str(cluster.engine), "pair", "-", f"pair-{turn}", FOLDER)
    started = float(cluster.inside(*words, within=300))
    cluster.docker("rm", "-f", f"pair-{turn}-db", f"pair-{turn}-web")
    _destroy(cluster, f"{POOL}/pair", f"{POOL}/from", snapshot)
    return made, started


def _destroy(cluster: Cluster, *names: str) -> None:
    """What was in use until now is busy for a moment."""
    for name in names:
        cluster.inside("sh", "-c", f"while zfs list {name}; do zfs destroy {name} || sleep 0.2; done")


def _copy(cluster: Cluster, size: int, turn: int) -> float:
    """Of a clone, because only that stands still."""
    making = (
        f"zfs clone -o mountpoint=/run/from $snapshot {POOL}/from; zfs create -o mountpoint={FOLDER} {POOL}/pair; "
        f"cp -a /run/from/. {FOLDER}/; sync {FOLDER}"
    )
    return sum(_by_hand(cluster, size, f"copy-{turn}", making))


def _dump(cluster: Cluster, size: int, turn: int) -> float:
    """Into the database of containers that were started on nothing."""
    cluster.inside("sh", "-ec", f"zfs create -o mountpoint={FOLDER} {POOL}/pair; chown 999:999 {FOLDER}")
    words = (sys.executable, str(HAND), str(cluster.engine), "pair", "-", f"dump-{turn}", FOLDER)
    started = float(cluster.inside(*words, within=300))
    docker = f"docker -H unix://{cluster.engine} exec"
    dumping = f"{docker} {_database(cluster, size)} pg_dump -U shop -Fc -Z0 shop"
    restoring = f"{docker} -i dump-{turn}-db pg_restore -U shop -d shop --clean --if-exists"
    took = seconds(lambda: cluster.inside("bash", "-eo", "pipefail", "-c", f"{dumping} | {restoring}", within=1800))
    cluster.docker("rm", "-f", f"dump-{turn}-db", f"dump-{turn}-web")
    _destroy(cluster, f"{POOL}/pair")
    return started + took


def _fifty(cluster: Cluster) -> Figure:
    names = [f"fresh-{at}" for at in range(FIFTY)]
    for name in names:
        cluster.done("branch", "apply", _name(OF), name)
    held = [row["bytes"] for row in cluster.done("branch", "ls", _name(OF))["branches"]]
    [source] = cluster.done("volume", "ls", _name(OF))["volumes"]
    for name in names:
        cluster.done("namespace", "rm", name, "--purge", "--yes")
    whole = FIFTY * source["bytes"]
    beside = f"{whole / 1e6:.0f} MB, if each had a copy"
    ratio = f"{sum(held) / whole:.3f}"
    return Figure(f"what {FIFTY} fresh branches of {OF} MB hold", f"{sum(held) / 1e6:.1f} MB", beside, ratio)
