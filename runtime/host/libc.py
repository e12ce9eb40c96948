"""What only the C library can be asked for: mounts of our own, a root that is read-only, capabilities that stay.

It runs inside instances, with the standard library alone.
"""

import ctypes
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
CAPABILITIES_VERSION = 0x20080522
OPEN_TREE, MOUNT_SETATTR, AT_FDCWD = 428, 442, -100
"""System calls that the library has no name for yet; their numbers are the same everywhere."""
OPEN_TREE_CLONE, AT_RECURSIVE, READ_ONLY = 1, 0x8000, 1
KERNELS = ("dev", "proc", "sys")
"""Where the kernel shows itself: there is nothing that stays."""


def stand_apart(folder: str) -> None:
    """Be in the folder by a mount of our own that is nowhere: whatever becomes of the others, it stays as it is."""
    fd = call("syscall", OPEN_TREE, AT_FDCWD, os.fsencode(folder), OPEN_TREE_CLONE | os.O_CLOEXEC)
    os.fchdir(fd)
    os.close(fd)


def make_read_only(but: Sequence[str]) -> None:
    """Let nothing be written in this mount namespace, but to these places and what the kernel shows. Raises OSError."""
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    written = [at for _, _, _, _, at, options, *_ in lines if options.startswith("rw")]
    _set_attributes("/", AT_RECURSIVE, READ_ONLY, 0)
    for at in written:
        if at in but or at.split("/")[1] in KERNELS:
            _set_attributes(at, 0, 0, READ_ONLY)


def _set_attributes(path: str, flags: int, on: int, off: int) -> None:
    attributes = (ctypes.c_uint64 * 4)(on, off, 0, 0)
    call("syscall", MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), flags, attributes, ctypes.sizeof(attributes))


def die_with_parent() -> None:
    """Be ended with whoever started us. A change of user forgets it (prctl(2))."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)


def be(uid: int, capabilities: Sequence[int]) -> None:
    """Become the user, with these capabilities; root has all of them (capabilities(7))."""
    keeps = bool(uid and capabilities)
    if keeps:
        call("prctl", PR_SET_KEEPCAPS, 1)
    os.setresuid(uid, uid, uid)
    if keeps:
        halves = [sum(1 << bit % 32 for bit in capabilities if bit // 32 == half) for half in (0, 1)]
        each = (ctypes.c_uint32 * 6)(*(half for half in halves for _ in range(3)))
        call("capset", (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0), each)
        for capability in capabilities:
            call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def call(function: str, *arguments: Any) -> int:
    """A function of the C library. Raises OSError where it says no."""
    result = int(getattr(ctypes.CDLL(None, use_errno=True), function)(*arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{function}: {os.strerror(ctypes.get_errno())}")
    return result
