"""An outside watcher: every 10 ms, who has which generation mounted, on whichever machine, and which version answers at
the gateway.

It takes nobody's word: a writer is a process in a container (in a process namespace below the machine's own)
that has the dataset in its own table of mounts, mount_namespaces(7); an answer is one that came over the network.
"""

import http.client
import os
import re
import statistics
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.machine.cluster import Cluster

EVERY = 0.01
"""Seconds between looks."""
MACHINE = 2
"""How many process namespaces the processes of a machine are in; those of its containers are in one more."""


@dataclass(frozen=True)
class Answer:
    """What one request came to, and when (seconds since the epoch) it was sent and answered. 0 is no answer."""

    sent: float
    came: float
    status: int
    text: str


@dataclass
class Writers:
    """Which containers have which generations mounted, look by look (`looks` are their times, time.monotonic): those
    below `roots`, of the local cluster whose control group has this name. `spans` are the first and the last look at
    which a generation had a writer. Machines may lose their power meanwhile, and come back."""

    cluster: str
    roots: tuple[str, ...]
    known: dict[int, tuple[str, str] | None] = field(default_factory=dict)
    seen: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    together: list[str] = field(default_factory=list)
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)
    looks: list[float] = field(default_factory=list)

    def gaps(self) -> tuple[float, float]:
        """Seconds between one look and the next: the median, and what 95 of 100 are shorter than."""
        found = [after - before for before, after in pairwise(self.looks)]
        return statistics.median(found), statistics.quantiles(found, n=20)[-1]

    def look(self) -> None:
        """Ask each process once: what it has mounted stays, but for those that are just being started."""
        pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        for pid in self.known.keys() - pids:
            del self.known[pid]
        for pid in pids - self.known.keys():
            self._ask(pid)
        self.looks.append(time.monotonic())
        holders: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for pid, found in self.known.items():
            if found:
                holders[found[0]][found[1]].append(pid)
        for generation, containers in holders.items():
            self.seen[generation] |= containers.keys()
            alive = [name for name, members in containers.items() if any(_alive(pid) for pid in members)]
            if alive:
                now = time.monotonic()
                self.spans[generation] = (self.spans.get(generation, (now,))[0], now)
            if len(alive) > 1:
                self.together.append(f"{generation} in {sorted(alive)}")

    def _ask(self, pid: int) -> None:
        try:
            space = os.readlink(f"/proc/{pid}/ns/pid")
            if cluster_of(pid) != self.cluster or _depth(pid) <= MACHINE:
                self.known[pid] = None
            elif not Path(f"/proc/{pid}/comm").read_text().startswith("runc"):
                mounts = Path(f"/proc/{pid}/mountinfo").read_text()
                self.known[pid] = next(((name, space) for name in _generations(mounts, self.roots)), None)
        except OSError:
            return  # it ended while we looked


def cluster_of(pid: int) -> str:
    """The control group of the local cluster that a process is of: machines of others may have the same names."""
    found = re.search(r":/(ployz-dev-[^/]+)/", Path(f"/proc/{pid}/cgroup").read_text())
    return found[1] if found else ""


def _depth(pid: int) -> int:
    """How many process namespaces a process is in, from ours on: pid_namespaces(7)."""
    found = re.search(r"^NSpid:(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return len(found[1].split()) if found else 0


def _generations(mountinfo: str, roots: tuple[str, ...]) -> list[str]:
    sources = [line.partition(" - ")[2].split(" ")[1] for line in mountinfo.splitlines()]
    return [source for source in sources if source.startswith(tuple(f"{root}/" for root in roots))]


def _alive(pid: int) -> bool:
    """Whether it can still write: a container's first process is a zombie until it is buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@dataclass
class Asking:
    """Somebody who asks the gateway again and again."""

    url: str
    method: str = "GET"
    answers: list[Answer] = field(default_factory=list)

    def ask(self) -> None:
        request = urllib.request.Request(self.url, method=self.method, headers={"Host": "shop.localhost"})
        sent = time.time()
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                status, text = answer.status, answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            status, text = 0, str(error)
        self.answers.append(Answer(sent, time.time(), status, text))

    def good(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status == 200]

    def failures(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]


class Watch:
    """Looks and asks for as long as the `with` lasts: writers on these machines, `GET /version`, `POST /rows`."""

    def __init__(self, cluster: Cluster, machines: tuple[str, ...] = ("m1",)) -> None:
        roots = tuple(f"ployz-{name}/ployz" for name in machines)
        self.writers = Writers(cluster_of(cluster.on(machines[0]).holder()), roots)
        self.versions = Asking(f"{cluster.url}/version")
        self.rows = Asking(f"{cluster.url}/rows", "POST")
        self._over = threading.Event()
        self._eyes = ThreadPoolExecutor(3)
        self._looking: list[Future[None]] = []

    def __enter__(self) -> "Watch":
        for look in (self.writers.look, self.versions.ask, self.rows.ask):
            self._looking.append(self._eyes.submit(self._again_and_again, look))
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._eyes.shutdown()
        for one in self._looking:
            one.result()

    def _again_and_again(self, look: Callable[[], None]) -> None:
        while not self._over.wait(EVERY):
            look()

    @property
    def acknowledged(self) -> set[int]:
        """The ids of all rows whose writer was told so."""
        return {int(answer.text) for answer in self.rows.good()}
