"""Processes as the host sees them, found by their words and ended for certain."""

import asyncio
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dataplane.process import started


@dataclass(frozen=True)
class Seen:
    """A living process; `since` tells it from a later one of the same pid, `namespace` is its process namespace."""

    pid: int
    since: str
    argv: tuple[str, ...]
    namespace: str


def seen(pids: Iterable[int] | None = None) -> list[Seen]:
    """Those of `pids`, or all processes, that are alive now."""
    if pids is None:
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [process for process in map(_look, pids) if process]


def kill(process: Seen) -> None:
    """End it by force; nothing if it has ended, also when another has its pid by now."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(process.pid)
        try:
            if started(process.pid) == process.since:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


async def gone(processes: Iterable[Seen]) -> None:
    """Wait until all of them have ended."""
    for process in processes:
        while started(process.pid) == process.since:
            await asyncio.sleep(0.01)


def _look(pid: int) -> Seen | None:
    folder = Path(f"/proc/{pid}")
    try:
        words = (folder / "cmdline").read_bytes().split(b"\0")[:-1]
        namespace = os.readlink(folder / "ns/pid")
    except OSError:
        words, namespace = [], ""  # it is ending: it has a start, but no words and namespaces any more
    since = started(pid)
    return Seen(pid, since, tuple(map(os.fsdecode, words)), namespace) if since else None
