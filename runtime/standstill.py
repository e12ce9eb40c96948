"""Instances that stand still for an instant, and go on by themselves should the daemon die meanwhile."""

import asyncio
import json
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runtime import thaw
from runtime.command import CommandError, detach
from runtime.instance import EngineProblem

PROGRAM = (sys.executable, "-I", "-S", thaw.__file__)
STARTING = 20.0
"""Seconds that the program may take to be there."""


@dataclass(frozen=True)
class Still:
    """What stands still: containers of the engine at a socket, and the control groups of processes."""

    engine: Path
    containers: Sequence[str]
    groups: Sequence[Path]

    def told(self) -> bytes:
        """As the program reads it."""
        groups = [str(group) for group in self.groups]
        return (
            json.dumps({"engine": str(self.engine), "containers": self.containers, "groups": groups}).encode() + b"\n"
        )


class Standstills:
    """What each operation lets stand still just now, and its line to the program that watches this daemon.

    `log` is where those programs write. Two that want the same instance go one after the other: else one would let it
    go on in the middle of the other's.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._held: dict[str, frozenset[str]] = {}
        self._lines: dict[str, socket.socket] = {}
        self._changed = asyncio.Condition()

    async def begin(self, by: str, ids: Sequence[str], still: Still) -> None:
        """Have it watched before any of `ids` stands still; begun already is fine. Raises EngineProblem."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.of_others(by).isdisjoint(ids))
            self._held[by] = frozenset(ids)
        if by not in self._lines:
            self._lines[by] = await _watched(still, self._log)

    def of_others(self, by: str) -> set[str]:
        """What other operations let stand still."""
        return {id for other, ids in self._held.items() if other != by for id in ids}

    async def end(self, by: str) -> None:
        """All of it goes on again, so nobody needs to watch any more."""
        if line := self._lines.pop(by, None):
            with line, suppress(OSError):  # whoever is gone need not be told
                await asyncio.get_running_loop().sock_sendall(line, thaw.WELL)
        async with self._changed:
            self._held.pop(by, None)
            self._changed.notify_all()


async def _watched(still: Still, log: Path) -> socket.socket:
    """Our end of the line to a program that is there and knows. Closed, it is what a dead daemon is to it."""
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            await detach(*PROGRAM, str(theirs.fileno()), log=log, pass_fds=(theirs.fileno(),))
        ours.settimeout(0)
        async with asyncio.timeout(STARTING):
            await asyncio.get_running_loop().sock_sendall(ours, still.told())
            ready = await asyncio.get_running_loop().sock_recv(ours, 1)
    except (OSError, TimeoutError, CommandError) as error:
        ours.close()
        raise EngineProblem(f"cannot have it watched while instances stand still: {error}") from error
    except BaseException:
        ours.close()
        raise
    if ready != thaw.READY:
        ours.close()
        raise EngineProblem(f"cannot have it watched while instances stand still: see {log}")
    return ours
