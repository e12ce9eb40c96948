"""A command in a running instance: in its namespaces and its control groups, as its user, with its variables."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from runtime.command import CommandError, converse
from runtime.host.program import NAMESPACES, PROGRAM, settings
from runtime.host.session import HostSession
from runtime.instance import EngineProblem, Specification


async def enter(
    specification: Specification, argv: Sequence[str], pid: int, groups: Iterable[Path], *, terminal: bool
) -> HostSession:
    """Start it in the namespaces of `pid`. Raises EngineProblem."""
    told = {**settings(specification, argv, groups), "terminal": terminal}
    fd = _written(told)
    try:
        words = ("nsenter", f"--target={pid}", *NAMESPACES, "--", *PROGRAM, "enter", str(fd))
        return HostSession(await converse(*words, pass_fds=(fd,), terminal=terminal))
    except CommandError as error:
        raise EngineProblem(f"cannot run {argv[0]} in {specification.id}: {error}") from error
    finally:
        os.close(fd)


def _written(told: dict[str, Any]) -> int:
    """A descriptor to read it from: what is in there must not show in anybody's command line."""
    fd = os.memfd_create("command")
    os.write(fd, msgspec.json.encode(told))
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
