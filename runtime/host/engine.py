"""Instances as processes of the host. Each has a control group, namespaces and a supervisor of its own.

What runs is told by the control group, not by our notes; notes only say how it went.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from runtime import health, logs
from runtime.connections import under_way
from runtime.container import OPERATION
from runtime.ending import instance_ended, run_to_end
from runtime.host import starting, systemd
from runtime.host.entering import enter
from runtime.host.group import Group, Hierarchy, hierarchies
from runtime.host.inside import now
from runtime.host.limits import Limits, beside, limits
from runtime.host.logs import lines
from runtime.host.network import Pair
from runtime.host.place import Place, Recorded, State, sweep
from runtime.host.session import HostSession
from runtime.instance import AddressTaken, Check, Condition, Ended, EngineProblem, NameTaken, Specification, Status
from runtime.network import Bridge

LOOK_AGAIN = 0.02
"""Seconds between two looks at something that is on its way."""
LAST_WORDS = 2.0
"""Seconds that a supervisor has for writing down how it went, once the rest was ended by force."""
STANDING = 5.0
"""Seconds that processes may take to stand still: one that waits for a disk does so only afterwards."""
KILLED = 137
"""The exit code of what was ended together with its supervisor, which could not write it down."""
WATCHED = 1.0
"""Seconds between two looks at whether instances died, or were started again by their supervisors."""
IMAGE = "host"
"""What stands where a container has its image."""


@dataclass(frozen=True)
class Host:
    """The instances whose folders are in `folder` (absolute), on `bridge`, their control groups below `groups`.

    `dns` is the address of their name server. `hidden` are folders that no instance sees anything of. With `systemd`
    they are its units. Each verb raises EngineProblem or one of its kinds.
    """

    folder: Path
    bridge: Bridge
    groups: Path
    dns: str | None = None
    hidden: tuple[Path, ...] = ()
    systemd: bool = False
    stirred: asyncio.Event = field(default_factory=asyncio.Event)

    def adopt(self) -> None:
        """Have the folder, without what was cut on its way in or out. What runs goes on."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        sweep(self.folder)

    def has(self, id: str) -> bool:
        """Whether the name is taken here."""
        return self._place(id).there()

    # ----------------------------------------------------------------------------------------------- changes

    async def create(self, specification: Specification, by: str) -> None:
        """Make the instance, not started. Raises NameTaken, and EngineProblem for what cannot be started here."""
        place = self._place(specification.id)
        if not place.there():
            starting.require(specification)
            made_of = starting.files(specification, self.dns, self._limits(specification))
            place.make(Recorded(specification, by, now()), made_of)
        found = place.recorded()
        if found is None or found.by != by:
            whose = f"an instance of operation {found.by}" if found else "something that is not ours"
            raise NameTaken(f"cannot create {specification.id}: {whose} has that name")

    async def start(self, id: str) -> None:
        """Start it unless it runs, and see that it did start."""
        place, recorded = self._need(id)
        if self._condition(place, recorded).status in ("running", "restarting"):
            return
        await self._require_free(recorded.specification)
        await self._clear(place)
        place.forget_state()
        self.stirred.set()
        wanted, group = recorded.specification, self._group(id)
        start = starting.Start(place, wanted, group, self._limits(wanted), self._pair(id), self.hidden)
        try:
            await start.go(systemd=self.systemd)
        except BaseException:
            await self._clear(place)
            raise

    async def stop(self, id: str, grace: float) -> None:
        """Stop it, by force after `grace` seconds."""
        place, group = self._place(id), self._group(id)
        if place.recorded() is None:
            return
        supervisor = _supervisor(place.state(), members := group.members())
        _signal({supervisor} if supervisor else members, signal.SIGTERM)
        if not await _emptied(group, grace):
            await group.kill(spare=supervisor)
            await _emptied(group, LAST_WORDS)
        await self._clear(place)

    async def pause(self, id: str) -> None:
        """Let all of its processes stand still, and see it, those too that are started meanwhile; one that does not run
        is fine. Raises EngineProblem where one does not."""
        group, until = self._group(id), time.monotonic() + STANDING
        while moving := group.moving():
            _signal(moving, signal.SIGSTOP)
            if time.monotonic() > until:
                raise EngineProblem(f"cannot see {id} stand still: the processes {sorted(moving)} go on")
            await asyncio.sleep(0.001)

    async def go_on(self, id: str) -> None:
        """Let them go on, if they stand still. Absent is fine."""
        _signal(self._group(id).members(), signal.SIGCONT)

    def group(self, id: str) -> Path:
        """Where all of its processes are: its control group."""
        return self._group(id).path

    async def remove(self, id: str) -> None:
        """Stop it by force and remove it. Raises NameTaken for what is not ours."""
        place = self._place(id)
        if not place.there():
            return
        if place.recorded() is None:
            raise NameTaken(f"cannot remove {id}: something that is not ours has that name")
        await self._remove(place)

    async def take_back(self, id: str, by: str) -> None:
        """Remove it if `by` made it."""
        found = self._place(id).recorded()
        if found is not None and found.by == by:
            await self._remove(self._place(id))

    async def _remove(self, place: Place) -> None:
        await self._clear(place)
        place.remove()

    async def _clear(self, place: Place) -> None:
        """End everything of it, and remove its groups and its interfaces."""
        group = self._group(place.id)
        await group.remove()
        for other in beside(group.path, _hierarchies()):
            await Group(other).remove()
        await self._pair(place.id).remove()

    # ----------------------------------------------------------------------------------------------- looking

    async def look(self, id: str) -> Condition | None:
        """The instance; None only if there is no folder of that name."""
        place = self._place(id)
        found = place.recorded()
        if found is None:
            return Condition(id, "created", {}, None, "", "") if place.there() else None
        return self._condition(place, found)

    async def all(self) -> list[Condition]:
        """All of them, by name."""
        try:
            names = sorted(entry.name for entry in self.folder.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            raise EngineProblem(f"cannot list the instances on the host: {error}") from error
        found = ((self._place(name), self._place(name).recorded()) for name in names)
        return [self._condition(place, recorded) for place, recorded in found if recorded]

    async def statuses(self) -> dict[str, Status]:
        """The status of each of them."""
        return {found.id: found.status for found in await self.all()}

    def _condition(self, place: Place, recorded: Recorded) -> Condition:
        specification, state = recorded.specification, place.state() or State()
        members = self._group(place.id).members()
        status = _status(state, members)
        last_exit = state.exit if state.status in ("stopped", "restarting") else KILLED
        since = {"created": recorded.created_at, "running": state.started_at}.get(status, state.finished_at)
        return Condition(
            id=place.id,
            status=status,
            labels={**specification.labels, OPERATION: recorded.by},
            ip=specification.ip,
            image=specification.image,
            digest=specification.image,
            since=since or recorded.created_at,
            restarts=state.restarts,
            last_exit=None if status in ("created", "running") else last_exit,
            out_of_memory=state.out_of_memory and status in ("restarting", "stopped"),
            pid=(state.pid if state.pid in members else min(members, default=None)) if status == "running" else None,
        )

    async def addresses(self) -> set[str]:
        """Those that its instances have, whether they run or not."""
        return {found.ip for found in await self.all() if found.ip}

    async def holders(self) -> dict[str, str]:
        """Those that are in use, with the id of who has each: an address is taken while its instance runs."""
        return {found.ip: found.id for found in await self.all() if found.ip and self._group(found.id).members()}

    async def tail(self, id: str, lines: int) -> str:
        """The last lines that it wrote, to both streams; empty if it is not there."""
        if not self.has(id):
            return ""
        async with aclosing(self.logs(id, tail=lines)) as found:
            return b"\n".join([said async for _, _, said in found]).decode(errors="replace")

    def logs(
        self, id: str, *, follow: bool = False, since: float | None = None, tail: int | None = None
    ) -> AsyncGenerator[logs.Line, None]:
        """Lines of both streams with their times, oldest first; `since` is Unix seconds. Raises EngineProblem."""
        place, recorded = self._need(id)

        def goes_on() -> bool:
            return self._condition(place, recorded).status in ("running", "restarting")

        return lines(place.folder, goes_on=goes_on if follow else None, since=since, tail=tail)

    async def running(self) -> AsyncGenerator[frozenset[str], None]:
        """The ids of those that run, now and after each change, for ever. Without any instance it costs nothing."""
        told: frozenset[str] | None = None
        while True:
            self.stirred.clear()
            found = await self.all()
            ids = frozenset(each.id for each in found if each.status == "running")
            if ids != told:
                yield ids
                told = ids
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCHED if found else None):
                    await self.stirred.wait()

    # ----------------------------------------------------------------------------------- waiting and commands

    async def ready(self, id: str, check: Check) -> None:
        """Wait until it is ready. Raises NotReady."""
        await health.wait_until_ready(self, id, check)

    async def ended(self, id: str, within: float) -> Ended:
        """Wait until the instance ends. Raises NotReady when its time is up."""
        return await instance_ended(self, id, within)

    async def drained(self, id: str, ports: Sequence[int], within: float) -> None:
        """Wait until no connection to these ports of it is open, at most `within` seconds."""
        until = time.monotonic() + within
        while (found := await self.look(id)) and found.pid and under_way(found.pid, ports):
            if time.monotonic() > until:
                return
            await asyncio.sleep(LOOK_AGAIN)

    async def run(self, id: str, argv: Sequence[str], within: float) -> Ended:
        """Run a command in it to its end, and return the end of what it wrote. Raises NotReady when its time is up."""
        return await run_to_end(self, id, argv, within)

    async def open_exec(
        self, id: str, argv: Sequence[str], *, tty: bool = False, rows: int = 24, columns: int = 80
    ) -> HostSession:
        """Start a command that somebody talks to. The caller closes the session."""
        place, recorded = self._need(id)
        found = self._condition(place, recorded)
        if found.status != "running" or found.pid is None:
            raise EngineProblem(f"cannot run {argv[0]} in {id}: it is not running")
        groups = self._limits(recorded.specification).command
        session = await enter(recorded.specification, argv, found.pid, groups, terminal=tty)
        if tty:
            await session.resize(rows, columns)
        return session

    async def begin(self, id: str, *, tty: bool = False, rows: int = 24, columns: int = 80) -> HostSession:
        """Start an instance that was made `attached`, and run its command in it. The caller closes the session."""
        _, recorded = self._need(id)
        await self.start(id)
        return await self.open_exec(id, recorded.specification.command or (), tty=tty, rows=rows, columns=columns)

    # ------------------------------------------------------------------------------------------------- parts

    def _place(self, id: str) -> Place:
        return Place(self.folder / id)

    def _pair(self, id: str) -> Pair:
        return Pair(id, self.bridge)

    def _group(self, id: str) -> Group:
        return Group(systemd.unit_group(self.groups, id) if self.systemd else self.groups / id)

    def _limits(self, wanted: Specification) -> Limits:
        return limits(self._group(wanted.id).path, wanted.bounds, _hierarchies())

    def _need(self, id: str) -> tuple[Place, Recorded]:
        place = self._place(id)
        recorded = place.recorded()
        if recorded is None:
            raise EngineProblem(f"there is no instance {id}")
        return place, recorded

    async def _require_free(self, wanted: Specification) -> None:
        holder = (await self.holders()).get(wanted.ip or "", wanted.id)
        if holder != wanted.id:
            raise AddressTaken(f"cannot start {wanted.id}: {holder} has its address {wanted.ip}")


def _hierarchies() -> list[Hierarchy]:
    return hierarchies(Path("/proc/self/mountinfo").read_text())


def _signal(members: Iterable[int], way: signal.Signals) -> None:
    for pid in members:
        with suppress(ProcessLookupError):
            os.kill(pid, way)


def _supervisor(state: State | None, members: set[int]) -> int | None:
    return state.supervisor if state and state.supervisor in members else None


def _status(state: State, members: set[int]) -> Status:
    """What runs without its supervisor runs; what was not let go yet, or never became the program, was not started."""
    if state.status == "waiting" or state.status == "failed":
        return "created"
    if not members:
        return "stopped"
    return state.status if _supervisor(state, members) else "running"


async def _emptied(group: Group, within: float) -> bool:
    until = time.monotonic() + within
    while group.members():
        if time.monotonic() > until:
            return False
        await asyncio.sleep(LOOK_AGAIN)
    return True
