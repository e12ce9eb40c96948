"""Bringing a local cluster up: making it, adding machines to it, and starting again what does not run."""

import asyncio
import os
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec.structs import replace

from daemon.dev.cluster import FAILURES, Cluster, Site, locate, require_name, told
from daemon.dev.enclosure import Enclosure
from daemon.dev.folder import ClusterRecord, MachineRecord, folders, locked
from daemon.dev.machine import Machine
from daemon.dev.meeting import meet
from daemon.dev.ports import listen
from daemon.dev.removing import remove
from daemon.dev.story import Story
from daemon.wire import DevUp, Refused, Stuck, Success, TakenBack

LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path (unix(7))."""
FIRST_PORT = 8080
MOST = 9
"""Machines of a cluster: each has a disk, an engine and a store of its own on this host."""
AT_ONCE = (os.cpu_count() or 1) + 1
"""Machines that start at a time. Much of a start is waiting."""


@dataclass
class Rise:
    """Bringing one cluster up; `begun` is what this command has started."""

    cluster: Cluster
    record: ClusterRecord
    story: Story
    begun: list[Enclosure] = field(default_factory=list)
    bound: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def bring_up(self) -> None:
        """The machines end as one mesh, but for those that are paused. Raises FAILURES."""
        self.cluster.folder.write(self.record)
        await self._power_on(self.cluster.underlay.enclosure, "Lay a network between the machines")
        await _all_of([self._bring_up(each) for each in self.record.machines])
        names = [each.name for each in self.record.machines if not self.cluster.machine(each.name).is_paused()]
        await meet(self.cluster, names, self.story, self.bound)
        if not self.story.step:
            self.story.already(f"{self.record.name} runs already")

    async def _bring_up(self, record: MachineRecord) -> None:
        machine = self.cluster.machine(record.name)
        if machine.is_paused():  # whoever paused it wants it so, and it could answer nobody
            return
        async with self.bound:
            await self._power_on(machine.enclosure, f"Start machine {machine.name} in namespaces of its own")
            await self._connect(machine)
            await self._open_way_in(machine, record)
            await self._start_daemon(machine)

    async def _power_on(self, enclosure: Enclosure, words: str) -> None:
        if enclosure.holder():
            return
        with self.story.doing(words):
            self.begun.append(enclosure)
            await enclosure.power_off()  # what a start that was cut off has left
            await enclosure.power_on()

    async def _connect(self, machine: Machine) -> None:
        if await self.cluster.underlay.connects(machine.enclosure):
            return
        with self.story.doing(f"Connect {machine.name} to the others, as {machine.address}"):
            await self.cluster.underlay.connect(machine.enclosure)

    async def _open_way_in(self, machine: Machine, record: MachineRecord) -> None:
        if await machine.enclosure.find(machine.relays):
            return
        with listen(record.port, self._ports_of_others(record)) as listening:
            port = listening.getsockname()[1]
            with self.story.doing(f"Open the way in to {machine.name}'s gateway: http://127.0.0.1:{port}"):
                self._note(replace(record, port=port))
                await machine.open_way_in(listening)

    async def _start_daemon(self, machine: Machine) -> None:
        if await machine.answers():
            return
        with self.story.doing(f"Start ployzd on {machine.name} and wait until it answers"):
            pid = await machine.start_daemon()
            await machine.wait_for_daemon(pid, self.cluster.site.patience)

    def _note(self, changed: MachineRecord) -> None:
        machines = tuple(changed if each.name == changed.name else each for each in self.record.machines)
        self.record = replace(self.record, machines=machines)
        self.cluster.folder.write(self.record)

    def _ports_of_others(self, record: MachineRecord) -> set[int]:
        """Those of all other machines on this host, whether they run or not."""
        ports = {each.port for each in self.record.machines if each.name != record.name}
        for folder in folders(self.cluster.site.root):
            with suppress(Refused):
                other = folder.read()
                if other and other.name != self.cluster.name:
                    ports |= {machine.port for machine in other.machines}
        return ports


async def up(ask: DevUp, story: Story, site: Site) -> Success:
    """Have the cluster be there and run. Raises Problem; what was begun is taken back then."""
    _require_possible(ask, site)
    cluster = locate(ask.name, site)
    async with locked(site.root, site.patience):
        before = cluster.folder.read()
        rise = Rise(cluster, _wanted(ask, before), story)
        try:
            await rise.bring_up()
        except BaseException as error:
            await _take_back(rise, before)
            if isinstance(error, FAILURES):
                raise TakenBack("dev.machine", f"cannot bring {ask.name} up", str(error)) from error
            raise
        return Success("dev", msgspec.to_builtins(await told(cluster)))


async def _all_of(efforts: list[Coroutine[Any, Any, None]]) -> None:
    """Do them side by side. The first failure ends the others, and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for effort in efforts:
                group.create_task(effort)
    except ExceptionGroup as several:
        raise several.exceptions[0] from several


def _wanted(ask: DevUp, before: ClusterRecord | None) -> ClusterRecord:
    """The cluster with as many machines as were asked for, each with a port to try first."""
    there = before.machines if before else ()
    count = ask.machines or len(there) or 1
    if count < len(there):
        why = f"it has {len(there)}, and none is removed by bringing it up"
        hint = f"--machines {len(there)}, or ployzctl dev down --name {ask.name} first"
        raise Refused("dev.machines", f"cannot bring {ask.name} up with {count} machines", why, hint)
    port = max((each.port for each in there), default=FIRST_PORT - 1)
    added = [MachineRecord(f"m{at}", port + at - len(there)) for at in range(len(there) + 1, count + 1)]
    return ClusterRecord(ask.name, "namespace", (*there, *added))


async def _take_back(rise: Rise, before: ClusterRecord | None) -> None:
    """Leave things as they were: no cluster, or one with the machines that it had, those off that were off."""
    name = rise.record.name
    try:
        with rise.story.undoing(f"End what was started of {name}"):
            for enclosure in rise.begun:
                await enclosure.power_off()
            if before is None:
                await remove(rise.cluster)
            else:
                _forget_added(rise, {each.name for each in before.machines})
    except FAILURES as error:
        raise Stuck("dev.stuck", f"cannot take {name} back", str(error), f"ployzctl dev down --name {name}") from error


def _forget_added(rise: Rise, there: set[str]) -> None:
    kept = tuple(each for each in rise.record.machines if each.name in there)
    added = [each.name for each in rise.record.machines if each.name not in there]
    rise.cluster.folder.remove_below(added)
    rise.cluster.folder.write(replace(rise.record, machines=kept))


def _require_possible(ask: DevUp, site: Site) -> None:
    what = f"cannot bring {ask.name} up"
    require_name(ask.name, what)
    if ask.driver != "namespace":
        raise Refused("dev.driver", what, f"there is no driver {ask.driver} yet", "--driver namespace")
    if ask.machines is not None and not 1 <= ask.machines <= MOST:
        raise Refused("dev.machines", what, f"a local cluster has 1 to {MOST} machines", f"--machines {MOST}")
    cluster = locate(ask.name, site)
    if len(os.fsencode(cluster.machine("m1").door)) > LONGEST_SOCKET:
        raise Refused("dev.path", what, f"{cluster.folder.path} is too long for a socket in it", "a shorter --name")
    if os.geteuid() != 0:
        raise Refused("dev.root", what, "namespaces, mounts and control groups need root", "sudo")
    if not cluster.group.hierarchies:
        raise Refused("dev.cgroups", what, "no control groups are mounted", "mount -t cgroup2 cgroup /sys/fs/cgroup")
