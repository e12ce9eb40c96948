"""Measure a cluster of one machine, and beside it one at rest, in one run; put the figures into docs/benchmarks.md."""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import asking
import booting
import carrying
import flipping
import replacing
import resting
import restoring
from figure import Figure, table

from tests.machine.cluster import HOUSE, IMAGES, Cluster

REPORT = HOUSE / "docs" / "benchmarks.md"
BEGIN, END = "<!-- what follows is written by dev/bench -->\n", "<!-- what dev/bench writes ends here -->\n"

Subject = Callable[[Cluster], list[Figure]]


def main() -> None:
    words = _words()
    subjects: dict[str, Subject] = {
        "flips": flipping.measure,
        "looks": asking.measure,
        "deploys": replacing.measure,
        "rollbacks": restoring.measure,
        "boot": booting.measure,
        "volumes": carrying.measure,
        "memory": resting.memory,
    }
    with ThreadPoolExecutor(1) as aside, _cluster("quiet") as quiet, _cluster("busy") as busy:
        at_rest = aside.submit(resting.measure, quiet, words.rest)
        figures = [figure for name in words.only or subjects for figure in _shown(subjects[name](busy))]
        figures += _shown(at_rest.result())
    if not words.only:
        _write(figures)


def _shown(figures: list[Figure]) -> list[Figure]:
    print(table(figures), flush=True)
    return figures


def _words() -> argparse.Namespace:
    words = argparse.ArgumentParser("dev/bench", description=__doc__)
    words.add_argument("--rest", type=float, default=600, metavar="SECONDS", help="how long to watch it at rest")
    words.add_argument(
        "--only",
        action="append",
        choices=["flips", "looks", "deploys", "rollbacks", "volumes", "boot", "memory"],
        help="measure this subject (and rest) only, and write no file; may be repeated",
    )
    return words.parse_args()


@contextmanager
def _cluster(name: str) -> Iterator[Cluster]:
    """A machine that is up, with the demo's images and its shop."""
    root = Path(tempfile.mkdtemp(prefix="pz", dir="/var/tmp"))
    cluster = Cluster(root, name)
    try:
        cluster.done("dev", "up", "--name", name)
        subprocess.run([IMAGES, "load", cluster.engine], check=True, capture_output=True)
        cluster.done("deploy", "-f", "shop-1.toml")
        yield cluster
    finally:
        cluster.plain("dev", "down", "--name", name)
        shutil.rmtree(root, ignore_errors=True)


def _write(figures: list[Figure]) -> None:
    """Replace what an earlier run wrote; what people wrote around it stays."""
    text = REPORT.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    REPORT.write_text(f"{before}{BEGIN}\n{_circumstances()}\n\n{table(figures)}\n{END}{after}")


def _circumstances() -> str:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    commit = _git("rev-parse", "--short", "HEAD") + (" with changes" if _git("status", "--porcelain") else "")
    shape = f"a virtual machine with {os.cpu_count()} cores and {memory:.0f} GB of memory"
    parts = f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}, ZFS by zfs-fuse"
    load = f"average load of the last 15 minutes when it ended: {os.getloadavg()[2]:.1f}"
    return f"Commit {commit}, {datetime.now(UTC):%Y-%m-%d}; {shape}; {parts} on a pool in a file; {load}."


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", HOUSE, *words], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
