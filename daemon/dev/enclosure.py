"""Namespaces and control groups of their own, held by one process, and what runs in them.

Whoever ends that one process ends all of it, as if its power were cut: the kernel ends every process in it, and
its network and mounts go with the last of them. It is found again by its folder and its group, whoever made it.
"""

import asyncio
import errno
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from daemon.dev.cgroup import Group
from daemon.dev.freezer import Freezer
from daemon.dev.processes import Seen, gone, kill, seen
from dataplane.process import started
from runtime.command import detach, run

HOUSE = Path(__file__).parents[2]
PYTHON = (sys.executable, "-P", "-m")
NAMESPACES = (
    *("unshare", "--net", "--mount", "--cgroup", "--pid", "--fork", "--kill-child=KILL"),
    *("--mount-proc", "--propagation", "private", "--"),
)
FRESH = ("/run", "/var/run", "/var/lock", "/var/lib/zfs")
"""Folders that hold what belongs to a running machine, and that no two may share."""
READY = "run/ployz-dev-machine"

Words = tuple[str, ...]


class MachineFailed(Exception):
    """A machine, or something in it, did not come up, did not end, or does not run."""


@dataclass(frozen=True)
class Enclosure:
    """Its folder (absolute, real), its control group, and the commands that ready what is in it when it starts."""

    folder: Path
    group: Group
    readying: tuple[Words, ...]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def holds(self) -> Words:
        """The words of its first process. The lock keeps a second one from starting, seen from here or not."""
        return ("tini", "--", "flock", "--nonblock", str(self.folder / "held"), "sleep", "infinity")

    @property
    def freezer(self) -> Freezer | None:
        """What holds everything in it still; None where no control group of this host can."""
        return Freezer.of(self.group)

    def holder(self) -> Seen | None:
        """Its first process, if it runs and was made ready."""
        found = self._first()
        return found if found and Path(f"/proc/{found.pid}/root/{READY}").exists() else None

    def runs(self) -> Seen:
        """The same, where it has to. Raises MachineFailed."""
        found = self.holder()
        if found is None:
            raise MachineFailed(f"{self.name} does not run")
        return found

    async def find(self, words: Words, within: float = 30.0) -> Seen | None:
        """The process in it with these words in its command line.

        From outside, what leads one in and what waits for the end of one that was killed look alike; the latter may
        take as long as a disk. Either is waited for. Raises MachineFailed.
        """
        inside = self.runs().namespace
        async with bounded(within, f"what is on its way into {self.name}, or out of it, did not get there"):
            while found := await _with(words):
                if here := next((each for each in found if each.namespace == inside), None):
                    return here
                await asyncio.sleep(0.02)
        return None

    async def power_on(self, within: float = 20.0) -> None:
        """Make its namespaces, and ready what is in them. Raises MachineFailed, CommandError, OSError."""
        self.folder.mkdir(exist_ok=True)
        self.group.make()
        doors = map(str, self.group.doors(founding=True))
        log = self.folder / "holder.log"
        pid = await _detach(*PYTHON, "daemon.dev.join", *doors, "--", *NAMESPACES, *self.holds, log=log)
        async with bounded(within, f"{self.name} did not start"):
            while not (first := self._first()):
                if not started(pid):
                    raise MachineFailed(f"{self.name} did not start: {end_of(log) or 'it is held from elsewhere'}")
                await asyncio.sleep(0.01)
        await self._ready(first)

    async def power_off(self, within: float = 30.0) -> None:
        """End every process of it, wait until they are gone, and remove its groups. Raises MachineFailed, OSError."""
        async with bounded(within, f"{self.name}, with the control group {self.group.name}, did not end"):
            while mine := await self._mine():
                for process in sorted(mine, key=lambda each: each.argv != self.holds):
                    kill(process)
                if self.freezer:
                    self.freezer.release()  # what a v1 freezer holds still does not end either
                await gone(mine)
            while not self._ungrouped():
                await asyncio.sleep(0.02)

    async def start(self, *argv: str, log: Path, pass_fds: tuple[int, ...] = ()) -> int:
        """Start a process in it that stays; its pid. Raises MachineFailed, CommandError."""
        doors = map(str, self.group.doors())
        words = (*PYTHON, "daemon.dev.join", *doors, "--", *_enter(self.runs()), *argv)
        return await _detach(*words, log=log, pass_fds=pass_fds)

    def _first(self) -> Seen | None:
        return next((each for each in seen(self.group.members()) if each.argv == self.holds), None)

    async def _mine(self) -> list[Seen]:
        """All processes in its group, and one that is on its way to make its namespaces."""
        return [*seen(self.group.members()), *await _with(self.holds)]

    def _ungrouped(self) -> bool:
        try:
            self.group.remove()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    async def _ready(self, first: Seen) -> None:
        """Give it a network, control groups and folders of its own; a mark in the last ends with it."""
        enter = _enter(first)
        for place in FRESH:
            if Path(place).is_dir() and not Path(place).is_symlink():
                await run(*enter, "mount", "-t", "tmpfs", "tmpfs", place)
        await run(*enter, "mkdir", "-p", "/run/lock", "/run/zfs", "/run/lock/zfs")
        self.group.settle()
        for hierarchy in self.group.hierarchies:
            await run(*enter, "umount", hierarchy.path)
            await run(*enter, *hierarchy.mounts)
        await run(*enter, "ip", "link", "set", "lo", "up")
        for words in self.readying:
            await run(*enter, *words)
        await run(*enter, "touch", f"/{READY}")


@asynccontextmanager
async def bounded(within: float, otherwise: str) -> AsyncIterator[None]:
    """Raise MachineFailed, with the words of `otherwise`, unless it is over within so many seconds."""
    try:
        async with asyncio.timeout(within):
            yield
    except TimeoutError:
        raise MachineFailed(f"{otherwise} within {within:g} seconds") from None


def end_of(log: Path, lines: int = 15) -> str:
    """The last lines of a log; empty where there is none."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


async def _detach(*argv: str, log: Path, pass_fds: tuple[int, ...] = ()) -> int:
    return await detach(*argv, log=log, environment={"PYTHONPATH": str(HOUSE)}, pass_fds=pass_fds)


def _enter(first: Seen) -> Words:
    return ("nsenter", "--target", str(first.pid), "--mount", "--net", "--cgroup", "--pid", "--")


async def _with(words: Words) -> list[Seen]:
    """The processes with these words in their command lines, wherever they are."""
    for _ in range(2):  # while a process becomes another program it has no words for an instant
        if found := [each for each in seen() if _contains(each.argv, words)]:
            return found
        await asyncio.sleep(0.02)
    return []


def _contains(argv: Words, words: Words) -> bool:
    return any(argv[start : start + len(words)] == words for start in range(len(argv) - len(words) + 1))
