"""What a cluster of five costs: a join, the store's way to three machines, a look, and nothing at all for a while."""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median

from asking import ROUNDS as LOOKS
from figure import Figure, seconds, shown

from tests.machine.cluster import Cluster, wait_until
from tests.machines.members import is_alone, machines

MACHINES, JOINS = 5, 5
JOIN, LOOK, MEMORY = 3.0, 0.120, 150
"""Aims: seconds of a join and of a look, megabytes of all that ployz runs on a machine."""
SETTLES = 30.0
"""Seconds after the last command until traffic is counted; as many again if less is watched."""
LINKS = ("eth0", "ploymesh0")
"""What goes between machines, and what of that is inside the mesh."""
ENGINE = ("dockerd", "containerd", "containerd-shim", "docker-proxy")
HOLDING = ("tini", "flock", "sleep", "relay")
"""What makes it a machine of a local cluster."""
HELD = """
import os, pathlib
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        words = (folder / "cmdline").read_bytes().split(b"\\0")
        held = [line.split()[1] for line in (folder / "smaps_rollup").read_text().splitlines() if line[:4] == "Pss:"]
        name = (folder / "comm").read_text().strip()
    except OSError:
        continue
    name = "relay" if b"daemon.dev.relay" in words else "ployzd" if b"daemon" in words else name
    if held and folder.name != str(os.getpid()):
        print(name, held[0])
"""
"""Prints the name and the kilobytes of each process."""


def measure(_: Cluster, rest: float) -> list[Figure]:
    """In a cluster of its own; traffic is counted for `rest` seconds."""
    with _five() as cluster:
        return [
            *_moves(cluster),
            _joins(cluster),
            _looks(cluster),
            *_traffic(cluster, rest),
            *(_memory(cluster.on(name)) for name in (_keeper(cluster), _leaf(cluster))),
        ]


@contextmanager
def _five() -> Iterator[Cluster]:
    root = Path(tempfile.mkdtemp(prefix="pz", dir="/var/tmp"))
    cluster = Cluster(root, "five")
    try:
        cluster.up(MACHINES)
        yield cluster
    finally:
        cluster.plain("dev", "down", "--name", cluster.name)
        shutil.rmtree(root, ignore_errors=True)


def _keeper(cluster: Cluster) -> str:
    return next(name for name, row in machines(cluster).items() if row["store"])


def _leaf(cluster: Cluster) -> str:
    return next(name for name, row in reversed(machines(cluster).items()) if not row["store"])


def _moves(cluster: Cluster) -> list[Figure]:
    """As its operations tell, from the claim to the end."""
    told = [row for row in cluster.done("op", "ls", "--all")["operations"] if row["primitive"] == "store.move"]
    times = [(_moment(row["ended_at"]) - _moment(row["began_at"])).total_seconds() for row in told]
    return [Figure("the store goes from one machine to three", shown(times), runs=len(times))] if times else []


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _joins(cluster: Cluster) -> Figure:
    """Of one that keeps no records, so nothing moves."""
    name, times = _leaf(cluster), []
    for _ in range(JOINS):
        cluster.done("machine", "rm", name)
        newcomer = cluster.on(name)
        wait_until(partial(is_alone, newcomer), f"{name} is alone", within=60)
        token = cluster.done("machine", "invite", "--name", name)["token"]
        times.append(seconds(partial(newcomer.done, "join", token)))
    met = median(times) <= JOIN
    return Figure("`join` as the fifth machine, whole process", shown(times), "", "", f"≤ {JOIN:g} s", met, JOINS)


def _looks(cluster: Cluster) -> Figure:
    times = [seconds(lambda: cluster.ctl("machine", "ls")) for _ in range(LOOKS + 1)][1:]
    aim, met = f"≤ {LOOK * 1000:.0f} ms", median(times) <= LOOK
    return Figure("`ployzctl --json machine ls` on five, whole process", shown(times), "", "", aim, met, LOOKS)


def _traffic(cluster: Cluster, rest: float) -> list[Figure]:
    """What crosses each machine's link while nobody asks for anything: both ways, by the kernel's counters."""
    time.sleep(min(SETTLES, rest))
    names = list(machines(cluster))
    before, began = {name: _crossed(cluster.on(name)) for name in names}, time.monotonic()
    time.sleep(rest)
    minutes = (time.monotonic() - began) / 60
    after = {name: _crossed(cluster.on(name)) for name in names}
    held = {name: row["store"] for name, row in machines(cluster).items()}
    figures = []
    for kept, whom in ((True, "a machine that keeps records"), (False, "a leaf")):
        for link in LINKS:
            rates = [(after[n][link] - before[n][link]) / minutes / 1000 for n in names if held[n] is kept]
            what = f"idle cluster of five, kB a minute at {link} of {whom}"
            figures.append(Figure(what, f"{median(rates):.1f} ({min(rates):.1f} to {max(rates):.1f})", runs=len(rates)))
    return figures


def _crossed(cluster: Cluster) -> dict[str, int]:
    """Bytes received and sent by each of the links."""
    lines = cluster.inside("cat", "/proc/net/dev").splitlines()[2:]
    counts = {name.strip(): rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    return {link: int(counts[link][0]) + int(counts[link][8]) for link in LINKS}


def _memory(cluster: Cluster) -> Figure:
    """The proportional share (PSS) of every process in the machine but the engine's, and those that only hold it."""
    parts: dict[str, float] = {}
    for line in cluster.inside(sys.executable, "-c", HELD).splitlines():
        name, _, held = line.rpartition(" ")
        if name not in (*ENGINE, *HOLDING):
            parts[name] = parts.get(name, 0.0) + int(held) * 1024 / 1e6
    whole, listed = sum(parts.values()), sorted(parts.items(), key=lambda part: -part[1])
    beside = ", ".join(f"{name} {size:.0f}" for name, size in listed if size >= 1)
    kept = "that keeps records" if machines(cluster)[cluster.at]["store"] else "that keeps none"
    what = f"all that ployz runs on a machine {kept}, without Docker, MB"
    return Figure(what, f"{whole:.0f}", beside, "", f"≤ {MEMORY}", whole <= MEMORY)
