"""This host, with local clusters whose daemons are stand-ins, asked for as `ployzd dev` is."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.dev.cluster import Cluster, Site, locate
from daemon.dev.machine import Machine
from daemon.dev.processes import seen
from daemon.dev.underlay import INTERFACE
from dataplane.process import started
from runtime.command import detach, finish

HOUSE = Path(__file__).parents[2]
Fields = Mapping[str, object]
NONE: Fields = {}


@dataclass(frozen=True)
class Host:
    """This host, with a folder of its own for clusters."""

    root: Path

    @property
    def cluster(self) -> Cluster:
        return locate("dev", Site(self.root, (sys.executable, "-P", "-m", "tests.machine.standin", "serve")))

    @property
    def machine(self) -> Machine:
        return self.cluster.machine("m1")

    def words(self, request: str, more: Fields = NONE) -> tuple[str, ...]:
        asked = {"type": f"dev.{request}", **more}
        return (sys.executable, "-m", "tests.machine.standin", "ask", json.dumps(asked))

    def ask_within(self, *within: str) -> str:
        """The code of the failure of an `up` that is begun by these words."""
        env = (f"PYTHONPATH={HOUSE}", f"PLOYZ_DEV_DIR={self.root}")
        told = asyncio.run(finish("env", *env, *within, *self.words("up"), may_exit=(3,)))
        return str(json.loads(told.out.splitlines()[-1])["error"]["code"])

    def ask(self, request: str, more: Fields = NONE) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
        """The exit code of a command, its answer, and its events."""
        env = (f"PYTHONPATH={HOUSE}", f"PLOYZ_DEV_DIR={self.root}")
        told = asyncio.run(finish("env", *env, *self.words(request, more), may_exit=(0, 3, 4, 5)))
        print(told.out[-1000:])
        lines = [json.loads(line) for line in told.out.splitlines()]
        return told.code, lines[-1], lines[:-1]

    def url(self) -> str:
        [cluster] = self.ask("ls")[1]["result"]["clusters"]
        [machine] = cluster["machines"]
        assert machine["state"] == "up"
        return str(machine["url"])

    def left(self) -> list[str]:
        """What there is of clusters below this root: processes, mounts, control groups, files."""
        here = str(self.root)
        processes = [
            str(each) for each in seen() if each.pid != os.getpid() and any(here in word for word in each.argv)
        ]
        mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if here in line]
        groups = [str(folder) for folder in self.machine.enclosure.group.folders() if folder.parent.exists()]
        return processes + mounts + groups + os.listdir(self.root)

    def cut(
        self,
        request: str,
        moment: Callable[[Cluster], object],
        more: Fields = NONE,
        by: signal.Signals = signal.SIGKILL,
    ) -> str:
        """Send the command the signal as soon as the moment has come, and wait for its end; what it said."""
        out = self.root.with_name(f"{self.root.name}.out")

        async def cut() -> None:
            environment = {"PYTHONPATH": str(HOUSE), "PLOYZ_DEV_DIR": str(self.root)}
            pid = await detach(*self.words(request, more), log=out, environment=environment)
            async with asyncio.timeout(20):
                while not moment(self.cluster):
                    await asyncio.sleep(0.001)
                os.kill(pid, by)
                while started(pid):
                    await asyncio.sleep(0.01)

        asyncio.run(cut())
        said = out.read_text()
        out.unlink()
        return said


def with_words(words: tuple[str, ...]) -> bool:
    """Whether a process runs that has these words in its command line."""
    return any(each.argv[at : at + len(words)] == words for each in seen() for at in range(len(each.argv)))


def has_link(machine: Machine) -> bool:
    """Whether the machine runs and has an end of a link, with an address or not."""
    holder = machine.enclosure.holder()
    try:
        return holder is not None and f"{INTERFACE}:" in Path(f"/proc/{holder.pid}/net/dev").read_text()
    except OSError:
        return False
