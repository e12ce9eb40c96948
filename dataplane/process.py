"""A process of the data plane: started once, outliving the daemon, found again by its command line.

There is no pid file: a kill between a start and its note would leave a process that nobody knows. A command
line names the machine's own folders, so an exact match in this machine's network namespace is identity enough.
"""

import asyncio
import os
import shlex
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime.command import CommandError, detach


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
        """Adopt the process if it runs, else start it."""
        if pid := self.running():
            return pid
        self.folder.mkdir(parents=True, exist_ok=True)
        pid = await detach(*self.argv, log=self.log, environment=self.environment)
        while started(pid) and not _command_line(pid):
            await asyncio.sleep(0.001)  # exec(2) has succeeded, but its words are not in place yet
        return pid

    def require_alive(self) -> None:
        """Raise ProcessDied, with the end of its log, unless it runs."""
        if not self.running():
            raise ProcessDied(self.name, self.said())

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

    def __str__(self) -> str:
        return shlex.join(self.argv)


def started(pid: int) -> str | None:
    """When a living process started, in clock ticks since boot (field 22 of proc(5) stat); None if it is dead."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if words[0] in ("Z", "X") else words[19]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # it ended while we looked


def _with_command_line(argv: tuple[str, ...]) -> Iterator[int]:
    wanted = b"".join(os.fsencode(word) + b"\0" for word in argv)
    here = os.readlink("/proc/self/ns/net")
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if (folder / "cmdline").read_bytes() == wanted and os.readlink(folder / "ns/net") == here:
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
