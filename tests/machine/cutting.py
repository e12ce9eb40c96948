"""A plug that is pulled at a given line of a journal: `kill -9` of ployzd, from outside, as soon as the line is there.

The kernel tells of each write to the folder of journals (inotify(7)), before the daemon has synced it: so the
daemon dies with its n-th event written and hardly ever with anything after it done.
"""

import ctypes
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.machine.cluster import gone, wait_until
from tests.stopping import parent, stop

Told = Callable[[list[str]], bool]
"""What may hold of a journal's lines."""
IN_MODIFY = 0x2


def reaches(count: int) -> Told:
    """That there are so many lines."""
    return lambda told: len(told) >= count


def says(*words: str) -> Told:
    """That some line has all of these words."""
    return lambda told: any(all(word in line for word in words) for line in told)


@contextmanager
def _watched(folder: Path) -> Iterator[int]:
    """A descriptor that is readable whenever a file in the folder was written to."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert descriptor >= 0, os.strerror(ctypes.get_errno())
    try:
        watch = libc.inotify_add_watch(descriptor, os.fsencode(folder), IN_MODIFY)
        assert watch >= 0, os.strerror(ctypes.get_errno())
        yield descriptor
    finally:
        os.close(descriptor)


def lines(journal: Path) -> list[str]:
    """The whole lines that it has; none if it is not there."""
    try:
        return journal.read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []


def kill_at(journal: Path, count: int, pid: int, within: float = 60.0) -> bool:
    """Kill the daemon `pid` once the journal has `count` lines; False if the operation was over before that."""
    return kill_when(journal, reaches(count), pid, within)


def kill_when(journal: Path, holds: Told, pid: int, within: float = 60.0) -> bool:
    """Likewise, once it holds of the journal's lines."""
    if killed := _signal_when(journal, holds, pid, signal.SIGKILL, within):
        wait_until(lambda: gone(pid), "ployzd is gone")
    return killed


@contextmanager
def standing_still_at(journal: Path, count: int, pid: int, within: float = 60.0) -> Iterator[None]:
    """Let the daemon `pid` stand still once the journal has `count` lines, and go on afterwards."""
    with standing_still_when(journal, reaches(count), pid, within):
        yield


@contextmanager
def standing_still_when(journal: Path, holds: Told, pid: int, within: float = 60.0) -> Iterator[None]:
    """Likewise, once it holds of the journal's lines."""
    there = _signal_when(journal, holds, pid, signal.SIGSTOP, within)
    assert there, "it was over before that"
    stop(pid)
    try:
        yield
    finally:
        # nsenter stops when what it started is stopped, and does not go on with it.
        for standing in (parent(pid), pid):
            os.kill(standing, signal.SIGCONT)


def _signal_when(journal: Path, holds: Told, pid: int, how: signal.Signals, within: float) -> bool:
    if there := wait_for(journal, holds, within):
        os.kill(pid, how)
    return there


def wait_for(journal: Path, holds: Told, within: float = 60.0) -> bool:
    """Wait until it holds of the journal's lines; False if the operation was over before that."""
    until = time.monotonic() + within
    with _watched(journal.parent) as descriptor:
        while not holds(told := lines(journal)):
            if told and told[-1].startswith('{"answer":'):
                return False
            assert time.monotonic() < until, f"the journal stays at {len(told)} lines: {told[-1:]}"
            if select.select([descriptor], [], [], 1.0)[0]:
                os.read(descriptor, 65536)
    return True


def kill(pid: int) -> None:
    """`kill -9`, and see it gone."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: gone(pid), f"the process {pid} is gone")
