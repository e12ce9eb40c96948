"""The control group of an instance: what it started is in there, so all of it can be found and ended by its name."""

import asyncio
import hashlib
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runtime.instance import EngineProblem

LOOK_AGAIN = 0.01
STILL = frozenset("TtZX")
"""States of proc(5) in which a thread does nothing: stopped, traced, dead."""


@dataclass(frozen=True)
class Group:
    """A group by its folder in the mounted hierarchy."""

    path: Path

    @property
    def door(self) -> Path:
        """The file through which a process joins."""
        return self.path / "cgroup.procs"

    def make(self) -> None:
        """Make it, with its parents. Raises OSError."""
        self.path.mkdir(parents=True, exist_ok=True)

    def members(self) -> set[int]:
        """Every living process in it and below it; empty where there is no such group. Raises OSError."""
        return {pid for group in self._tree() for pid in _pids(group)}

    def moving(self) -> set[int]:
        """Its processes of which not every thread stands still. Raises OSError."""
        return {pid for pid in self.members() if _states(pid) - STILL}

    async def kill(self, within: float = 10.0, spare: int | None = None) -> None:
        """End every process in it by force (but `spare`), and see them gone. Raises EngineProblem when time is up."""
        until = time.monotonic() + within
        while members := self.members() - {spare}:
            for pid in members:
                self._kill(pid)
            if time.monotonic() > until:
                raise EngineProblem(f"cannot end the processes {sorted(members)} of {self.path.name}: they do not die")
            await asyncio.sleep(LOOK_AGAIN)

    async def remove(self, within: float = 10.0) -> None:
        """End what is in it and remove it, and see it gone. Absent is fine."""
        until = time.monotonic() + within
        while self.path.is_dir():
            await self.kill(within)
            try:
                for group in reversed(list(self._tree())):
                    group.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                # A process that has just ended may keep it busy for an instant.
                if time.monotonic() > until:
                    raise EngineProblem(f"cannot remove the control group {self.path}: {error.strerror}") from error
                await asyncio.sleep(LOOK_AGAIN)

    def _kill(self, pid: int) -> None:
        """Numbers are used again: be sure that it is a process of this group that is ended."""
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                if pid in self.members():
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)

    def _tree(self) -> Iterator[Path]:
        """It and all below it, parents first."""
        for path, _, _ in os.walk(self.path):
            yield Path(path)


def control_groups(folder: Path, *, systemd: bool) -> Path:
    """Below which group those of a machine's instances lie: by `folder`, where that machine keeps everything.

    Units of systemd lie where it puts them, so that is the hierarchy itself. Raises EngineProblem.
    """
    root = hierarchy(Path("/proc/self/mountinfo").read_text())
    return root if systemd else root / f"ployz-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"


@dataclass(frozen=True)
class Hierarchy:
    """Where control groups are mounted; `words` are the options of the mount, of v1 its controllers among them."""

    path: Path
    version: int
    words: tuple[str, ...]

    @property
    def rank(self) -> int:
        """The larger, the rather we make our groups there."""
        if self.version == 2:
            return 3
        return 2 if "name=systemd" in self.words else 1 if "pids" in self.words else 0


def hierarchies(mountinfo: str) -> list[Hierarchy]:
    """All that are mounted, by the text of /proc/self/mountinfo."""
    return [found for line in mountinfo.splitlines() if (found := _hierarchy(line))]


def hierarchy(mountinfo: str) -> Path:
    """The one that our groups are made in: v2 before v1.

    Any of v1 would do, because instances are only found by it; that of the init system is used by nobody else. Raises
    EngineProblem where there is none.
    """
    found = {each.rank: each.path for each in hierarchies(mountinfo) if each.rank}
    if not found:
        raise EngineProblem("this machine has no control groups, which services on the host need: mount cgroup2")
    return found[max(found)]


def _hierarchy(line: str) -> Hierarchy | None:
    mount, _, system = line.partition(" - ")
    kind, _, options = system.partition(" ")
    if kind not in ("cgroup", "cgroup2"):
        return None
    path = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), mount.split()[4])
    return Hierarchy(Path(path), 2 if kind == "cgroup2" else 1, tuple(options.split(" ")[-1].split(",")))


def _states(pid: int) -> set[str]:
    """The states of a process's threads, as proc(5) has them; none if it is gone."""
    found = set()
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found.add((thread / "stat").read_text().rpartition(")")[2].split()[0])
    return found


def _pids(group: Path) -> set[int]:
    """One of another process namespace shows as 0, and cannot be ended from here."""
    try:
        return {int(pid) for pid in (group / "cgroup.procs").read_text().split()} - {0}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        if not group.is_dir():  # it was removed while it was read
            return set()
        raise EngineProblem(f"cannot read the control group {group}: {error.strerror}") from error
