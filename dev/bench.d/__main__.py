"""Measure a cluster of one machine, and beside it one at rest; put each subject into docs/benchmarks.md as it ends."""

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
import branching
import carrying
import emptying
import five
import flipping
import many
import moving
import pausing
import replacing
import resting
import restoring
import rising
import storing
from figure import Figure, table

from tests.machine.cluster import HOUSE, IMAGES, Cluster

REPORT = HOUSE / "docs" / "benchmarks.md"
REST = "rest"
SUBJECTS = (
    *("flips", "looks", "deploys", "many", "rollbacks", "branches", "pauses", "boot", "volumes", "memory"),
    *("machines", "five", "store", "moves", "drains", REST),
)
HEADING = "### "
BEGIN, END = "<!-- what follows is written by dev/bench -->\n", "<!-- what dev/bench writes ends here -->\n"

Subject = Callable[[Cluster], list[Figure]]


def main() -> None:
    words = _words()
    subjects: dict[str, Subject] = {
        "flips": flipping.measure,
        "looks": asking.measure,
        "deploys": replacing.measure,
        "many": many.measure,
        "rollbacks": restoring.measure,
        "branches": branching.measure,
        "pauses": pausing.measure,
        "boot": booting.measure,
        "volumes": carrying.measure,
        "memory": resting.memory,
        "machines": rising.measure,
        "five": lambda cluster: five.measure(cluster, words.rest),
        "store": lambda _: storing.measure(),
        "moves": moving.measure,
        "drains": emptying.measure,
    }
    with ThreadPoolExecutor(1) as aside, _cluster("quiet") as quiet, _cluster("busy") as busy:
        at_rest = aside.submit(resting.measure, quiet, words.rest)
        for name in words.only or subjects:
            _tell(name, subjects[name](busy), words)
        _tell(REST, at_rest.result(), words)


def _tell(subject: str, figures: list[Figure], words: argparse.Namespace) -> None:
    print(table(figures), flush=True)
    if not words.show:
        _write(subject, figures)


def _words() -> argparse.Namespace:
    words = argparse.ArgumentParser("dev/bench", description=__doc__)
    words.add_argument("--rest", type=float, default=600, metavar="SECONDS", help="how long to watch it at rest")
    words.add_argument(
        "--only",
        action="append",
        choices=[each for each in SUBJECTS if each != REST],
        help="measure this subject (and rest) only; may be repeated",
    )
    words.add_argument("--show", action="store_true", help="print the figures, and write no file")
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


def _write(subject: str, figures: list[Figure]) -> None:
    """Replace what an earlier run wrote of that subject; other subjects, and what people wrote around it, stay."""
    before, _, rest = REPORT.read_text().partition(BEGIN)
    written, _, after = rest.partition(END)
    sections = {name: text for name, _, text in (part.partition("\n") for part in written.split(HEADING)[1:])}
    sections[subject] = f"\n{_circumstances()}\n\n{table(figures)}\n"
    told = "".join(f"{HEADING}{name}\n{sections[name]}" for name in SUBJECTS if name in sections)
    REPORT.write_text(f"{before}{BEGIN}\n{told}{END}{after}")


def _circumstances() -> str:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    commit = _git("rev-parse", "--short", "HEAD") + (" with changes" if _git("status", "--porcelain") else "")
    shape = f"{os.cpu_count()} cores, {memory:.0f} GB, Linux {platform.release().split('-')[0]}"
    load = f"average load of the last 15 minutes when it ended: {os.getloadavg()[2]:.1f}"
    return f"Commit {commit}, {datetime.now(UTC):%Y-%m-%d}; {shape}, Python {platform.python_version()}; {load}."


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", HOUSE, *words], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
