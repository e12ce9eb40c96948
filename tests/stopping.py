"""A process that stands still, and is seen to: SIGSTOP has returned before the last of its threads stops."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 10.0
"""Seconds until a process that goes on is given up."""


def stop(pid: int) -> None:
    """Stop it, and see every thread of it stopped."""
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + PATIENCE
    while moving := [thread.name for thread in Path(f"/proc/{pid}/task").iterdir() if _state(thread) not in "TZX"]:
        assert time.monotonic() < until, f"the threads {moving} of the process {pid} go on"
        time.sleep(0.001)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """It is there, so nobody starts it again, and answers nobody."""
    stop(pid)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def parent(pid: int) -> int:
    """Who started it, or who has it now."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _state(thread: Path) -> str:
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return "X"
