"""A process of the data plane: started once, outliving the daemon, found again by its command line.

There is no pid file: a kill between a start and its note would leave a process that nobody knows. A command
line names the machine's own folders, so an exact match in this machine's network namespace is identity enough.
"""

import asyncio
import os
import shlex
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from runtime.command import CommandError, detach

DEAD = frozenset({"Z", "X"})
"""States of proc(5) stat: a zombie, and what is just being removed."""


@dataclass
class ProcessDied(CommandError):
    """It is not running, or ended right after its start; `log` is the end of what it wrote."""

    name: str
    log: str

    def __str__(self) -> str:
        return f"{self.name} is not running: {self.log.strip() or 'it said nothing'}"


@dataclass(frozen=True)
class Process:
    """One program of the data plane on this machine; `folder` keeps its log."""

    name: str
    argv: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def running(self) -> int | None:
        """The pid of the process that runs with these very words, whoever started it."""
        return next(_with_command_line(self.argv), None)

    async def ensure(self) -> int:
        """Adopt the process if it runs, else start it. Once this returns, `running` finds it, or it has ended."""
        if pid := self.running():
            return pid
        self.folder.mkdir(parents=True, exist_ok=True)
        pid = await detach(*self.argv, log=self.log, environment=self.environment)
        while started(pid) and not _command_line(Path(f"/proc/{pid}")):
            await asyncio.sleep(0.001)  # the kernel has not put its words there yet
        return pid

    def require_alive(self) -> None:
        """Raise ProcessDied, with the end of its log, unless it runs."""
        if not self.running():
            raise ProcessDied(self.name, self.said())

    def tell(self, way: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        for pid in _with_command_line(self.argv):
            with suppress(ProcessLookupError):
                os.kill(pid, way)

    def said(self, lines: int = 10) -> str:
        """The last lines that it wrote."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    async def stop(self, *, within: float = 10.0) -> None:
        """End it, by force when it has not ended by itself `within` seconds, and wait until it is gone."""
        for way in (signal.SIGTERM, signal.SIGKILL):
            for pid in list(_with_command_line(self.argv)):
                since = started(pid)
                os.kill(pid, way)
                await _gone(pid, since, within)

    async def displace(self, word: str) -> None:
        """End those of the same program that have this word of ours too, but not all the others."""
        wanted, here = os.fsencode(word), _joined(self.argv)
        for folder in Path("/proc").iterdir():
            line = _command_line(folder) if folder.name.isdigit() else b""
            if line != here and line.split(b"\0", 1)[0] == os.fsencode(self.argv[0]) and wanted in line.split(b"\0"):
                await Process(self.name, tuple(map(os.fsdecode, line.split(b"\0")[:-1])), self.folder).stop()

    def __str__(self) -> str:
        return shlex.join(self.argv)


def started(pid: int) -> str | None:
    """When a living process started, in clock ticks since boot (field 22 of proc(5) stat); None if it is dead.

    A zombie is dead, unless one of its threads still runs: that one keeps all of its files open.
    """
    folder = Path(f"/proc/{pid}")
    words = _stat(folder)
    states = {state for each in (folder, *_tasks(folder)) for state in _stat(each)[:1]}
    return words[19] if words and states - DEAD else None


def is_ending(pid: int) -> bool:
    """Whether it is a zombie, or gone: what its threads still hold they are about to let go."""
    return not set(_stat(Path(f"/proc/{pid}"))[:1]) - DEAD


def _tasks(folder: Path) -> list[Path]:
    try:
        return list((folder / "task").iterdir())
    except OSError:
        return []


def _stat(folder: Path) -> list[str]:
    """The words of a process's, or a thread's, stat from its state on; none if it is gone."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _command_line(folder: Path) -> bytes:
    """Each word and a zero; empty for a zombie, and while it is being started."""
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:
        return b""


def _joined(argv: tuple[str, ...]) -> bytes:
    return b"".join(os.fsencode(word) + b"\0" for word in argv)


def _with_command_line(argv: tuple[str, ...]) -> Iterator[int]:
    wanted = _joined(argv)
    here = os.readlink("/proc/self/ns/net")
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if _command_line(folder) == wanted and os.readlink(folder / "ns/net") == here:
                yield int(folder.name)
        except OSError:
            continue  # it ended while we looked


async def _gone(pid: int, since: str | None, within: float) -> None:
    try:
        async with asyncio.timeout(within):
            while started(pid) == since:
                await asyncio.sleep(0.02)
    except TimeoutError:
        return
