"""What a cluster costs while nobody asks for anything: memory, processor, writes and records."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from figure import Figure

from tests.machine.cluster import Cluster

MEMORY = 60
"""Megabytes that ployzd is to have resident at most."""
QUIET = 180.0
"""Seconds that are left to what was asked before to be over: the store's server writes its index some two minutes
after the last record. Whoever looks for a shorter time than that waits no longer than he looks."""
LAST_RECORD = Path(__file__).parent / "last_record.py"


@dataclass(frozen=True)
class Process:
    """What /proc says of one: seconds of processor, bytes written to disk, megabytes resident."""

    cpu: float
    written: int
    resident: float

    @classmethod
    def of(cls, pid: int) -> "Process":
        place = Path("/proc") / str(pid)
        times = (place / "stat").read_text().rpartition(")")[2].split()
        io = dict(line.split(": ") for line in (place / "io").read_text().splitlines())
        status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
        ticks = int(times[11]) + int(times[12])
        resident = int(status["VmRSS"].split()[0]) * 1024 / 1e6
        return cls(ticks / os.sysconf("SC_CLK_TCK"), int(io["write_bytes"]), resident)


def measure(cluster: Cluster, rest: float) -> list[Figure]:
    """Look, leave it alone for `rest` seconds, look again."""
    time.sleep(min(QUIET, rest))
    pids = {"ployzd": cluster.daemon(), "nats-server": store(cluster)}
    before, first = {name: Process.of(pid) for name, pid in pids.items()}, _last_record(cluster)
    time.sleep(rest)
    after, last = {name: Process.of(pid) for name, pid in pids.items()}, _last_record(cluster)
    within = f"in {rest / 60:g} minutes"
    figures = memory(cluster, "at rest after one deploy")
    for name in pids:
        cpu, written = after[name].cpu - before[name].cpu, after[name].written - before[name].written
        aim, met = ("none", cpu < rest / 10_000) if name == "ployzd" else ("", None)
        figures.append(Figure(f"{name} at rest, processor {within}", f"{cpu:.2f} s", "", "", aim, met))
        figures.append(Figure(f"{name}, written to disk {within}", f"{written} bytes", "", "", "none", written == 0))
    figures.append(Figure(f"new records {within}", str(last - first), "", "", "none", last == first))
    return figures


def memory(cluster: Cluster, when: str = "after all of the above") -> list[Figure]:
    """What ployzd has resident, beside the store's server."""
    daemon, server = Process.of(cluster.daemon()), Process.of(store(cluster))
    ours, beside = f"{daemon.resident:.0f} MB", f"nats-server: {server.resident:.0f} MB"
    what, met = f"ployzd {when}, resident", daemon.resident <= MEMORY
    return [Figure(what, ours, beside, "", f"≤ {MEMORY} MB", met)]


def store(cluster: Cluster) -> int:
    """The pid of the machine's nats-server."""
    return cluster.process("nats-server", str(cluster.machine))


def _last_record(cluster: Cluster) -> int:
    folder = cluster.machine / "data" / "store"
    return int(
        cluster.inside("env", f"PYTHONPATH={os.environ['PYTHONPATH']}", sys.executable, str(LAST_RECORD), str(folder))
    )
