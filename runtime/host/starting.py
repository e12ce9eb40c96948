"""How an instance on the host comes up: its supervisor first, then what it runs on, then the word to go.

Until that word nothing of it outlives the daemon: a supervisor whose daemon hangs up without it ends, and with it
its namespaces, its mounts and its interfaces.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from runtime.command import CommandError, detach, run
from runtime.host import mounts
from runtime.host.becoming import identity
from runtime.host.group import Group
from runtime.host.limits import Limits
from runtime.host.network import Pair
from runtime.host.place import Place, State
from runtime.host.program import PROGRAM, settings
from runtime.host.systemd import UNSHARE, unit_command
from runtime.instance import EngineProblem, Specification

LOOK_AGAIN = 0.01
PREPARING = 20.0
"""Seconds that a supervisor may take to be there, and to start the command once it is told to."""
BEGUN, GO = b"b", b"g"
"""What the supervisor is told: that it is being prepared, however long that takes, and that it is."""
HOLDS = ("sleep", "infinity")
"""What runs in an instance that is talked to: it is there for the command, which is somebody's who comes in."""
STOPPING = 10.0
"""Seconds that are added to an instance's grace before systemd, when the machine goes down, ends it by force."""


def require(specification: Specification) -> None:
    """Refuse what could never be started here. Raises EngineProblem."""
    if not specification.command:
        raise EngineProblem(f"cannot create {specification.id}: it has no command")
    mounts.require(specification)
    try:
        identity(specification.user)
    except LookupError as error:
        raise EngineProblem(f"cannot create {specification.id}: {error.args[0]}") from error


def files(specification: Specification, dns: str | None, limits: Limits) -> dict[str, bytes]:
    """What lies in its folder, besides what it was made from."""
    switch = Path(mounts.SWITCH)
    command = HOLDS if specification.attached else specification.command or ()
    told = settings(specification, command, limits.command)
    told |= {
        "survives": specification.survives,
        "dies_with_us": True,
        "log": specification.bounds.log // 2,
        "supervisor": limits.supervisor and str(limits.supervisor),
        "kills": limits.kills and str(limits.kills),
        "read_only": mounts.written(specification) if specification.bounds.read_only else None,
    }
    return {
        "run.json": msgspec.json.encode(told),
        **mounts.files(specification, dns, switch.read_text() if switch.exists() else ""),
    }


@dataclass(frozen=True)
class Start:
    """One start of an instance of which nothing runs."""

    place: Place
    specification: Specification
    group: Group
    limits: Limits
    pair: Pair
    hidden: tuple[Path, ...]

    async def go(self, *, systemd: bool) -> None:
        """Start it, and see that it did. Raises EngineProblem."""
        mounts.require(self.specification)
        try:
            await self._launch(systemd=systemd)
            pid = (await self._until(lambda _: True)).supervisor
            with self._line() as line:
                os.write(line, BEGUN)
                await self._prepare(pid)
                os.write(line, GO)
                told = await self._until(lambda state: state.status != "waiting")
        except (CommandError, OSError) as error:
            raise EngineProblem(f"cannot start {self.place.id}: {error}") from error
        if told.status == "failed":
            raise EngineProblem(f"cannot start {self.place.id}: {told.why}")

    async def _launch(self, *, systemd: bool) -> None:
        supervisor = (*PROGRAM, "supervise", str(self.place.folder), str(self.group.door))
        if systemd:
            await run(*unit_command(self.place.id, supervisor, self.specification.stop_grace + STOPPING))
        else:
            self.group.make()
            await detach(*UNSHARE, *supervisor, log=self.place.folder / "supervisor.log")

    @contextmanager
    def _line(self) -> Iterator[int]:
        line = os.open(self.place.go, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            yield line
        finally:
            os.close(line)

    async def _prepare(self, pid: int) -> None:
        self.limits.apply()
        if self.specification.ip:
            await self.pair.join(pid, self.specification.ip)
        inside = ("nsenter", f"--target={pid}", "--mount", "--")
        for words in mounts.commands(self.specification, self.place.folder):
            await run(*inside, *words)
        mountinfo = Path(f"/proc/{pid}/mountinfo").read_text()
        targets = [mount.target for mount in self.specification.mounts]
        for words in mounts.hiding(mountinfo, targets, self.hidden):
            await run(*inside, *words)

    async def _until(self, holds: Callable[[State], bool]) -> State:
        """Wait for the supervisor to write what is hoped for. Raises EngineProblem when it ends, or time is up."""
        until = time.monotonic() + PREPARING
        while True:
            lives = bool(self.group.members())
            state = self.place.state()
            if state is not None and holds(state):
                return state
            if time.monotonic() > until or (state is not None and not lives):
                how = "did not get ready" if lives else "ended"
                raise EngineProblem(f"cannot start {self.place.id}: its supervisor {how}{self._said()}")
            await asyncio.sleep(LOOK_AGAIN)

    def _said(self) -> str:
        log = self.place.folder / "supervisor.log"
        said = log.read_text(errors="replace").strip() if log.exists() else ""
        return f": {said.splitlines()[-1]}" if said else ""
