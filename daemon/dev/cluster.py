"""The places of a local cluster, and what is there of it. Each is found again whatever became of who made it."""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from daemon.dev import machine as machines
from daemon.dev import underlay
from daemon.dev.cgroup import Group, hierarchies
from daemon.dev.enclosure import Enclosure, MachineFailed, Words
from daemon.dev.folder import Folder, locked
from daemon.dev.machine import Machine
from daemon.dev.underlay import Underlay
from daemon.wire import NAME, DevCluster, DevMachine, DevParting, DevState, Refused, Stuck
from runtime.command import CommandError

ROOT = Path("/var/lib/ployz-dev")
FAILURES = (MachineFailed, CommandError, OSError)


@dataclass(frozen=True)
class Site:
    """Where this host keeps its clusters, the words that start a machine's daemon, and seconds it may take."""

    root: Path
    program: Words
    patience: float = 90.0


@dataclass(frozen=True)
class Cluster:
    """One cluster's places: its folder, and its control group, whose name tells it from those of other sites."""

    folder: Folder
    group: Group
    site: Site

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def underlay(self) -> Underlay:
        return Underlay(self._enclosure(underlay.NAME, underlay.READYING))

    def exists(self) -> bool:
        """Whether anything tells of it: its folder, one that was being made, or its control group."""
        path = self.folder.path
        return path.exists() or path.with_name(f".{path.name}.new").exists() or self.group.exists()

    def machine(self, name: str) -> Machine:
        return Machine(self._enclosure(name, machines.READYING), self.site.program)

    def machines(self) -> list[Machine]:
        """Those that its file names, and those that only their control groups tell of."""
        record = self.folder.read()
        names = {machine.name for machine in record.machines} if record else set()
        return [self.machine(name) for name in sorted(names | self.group.children() - {underlay.NAME})]

    def _enclosure(self, name: str, readying: tuple[Words, ...]) -> Enclosure:
        return Enclosure(self.folder.path / name, Group(f"{self.group.name}/{name}", self.group.hierarchies), readying)


def locate(name: str, site: Site) -> Cluster:
    """Where the cluster of that name is, or would be."""
    folder = Folder(site.root / name)
    digest = hashlib.sha256(os.fsencode(folder.path)).hexdigest()[:8]
    mounted = hierarchies(Path("/proc/self/mountinfo").read_text())
    return Cluster(folder, Group(f"ployz-dev-{name}-{digest}", mounted), site)


@asynccontextmanager
async def changing(name: str, what: str, site: Site) -> AsyncIterator[Cluster]:
    """The cluster of that name, which nobody else changes meanwhile.

    Raises Refused if there is none, and Stuck when what is done to it fails or is interrupted: `what` was begun then.
    """
    require_name(name, what)
    cluster = locate(name, site)
    if not cluster.exists():
        raise Refused("dev.missing", what, f"there is no local cluster {name} in {site.root}", "ployzctl dev ls")
    async with locked(site.root, site.patience):
        try:
            yield cluster
        except (asyncio.CancelledError, *FAILURES) as error:
            why = "it was interrupted" if isinstance(error, asyncio.CancelledError) else str(error)
            raise Stuck("dev.stuck", what, why, f"the same again, or ployzctl dev down --name {name}") from error


def require_name(name: str, what: str) -> None:
    """Raise Refused unless a cluster can be called so."""
    if not re.fullmatch(NAME, name):
        raise Refused("dev.name", what, f"a name looks like {NAME}", "dev")


async def told(cluster: Cluster) -> DevCluster:
    """What there is of it, as ctl is told. Raises FAILURES."""
    off = told_off(cluster)
    states = await asyncio.gather(*(_state(cluster.machine(each.name)) for each in off.machines))
    machines = [replace(each, state=state) for each, state in zip(off.machines, states, strict=True)]
    return replace(off, machines=machines, partings=await _partings(cluster.underlay))


def told_off(cluster: Cluster) -> DevCluster:
    """The same without a look at what runs: of a cluster whose machines are off."""
    record = cluster.folder.read()
    machines = [_told_off(cluster.machine(each.name), each.port) for each in record.machines] if record else []
    return DevCluster(cluster.name, "namespace", machines)


def _told_off(machine: Machine, port: int) -> DevMachine:
    return DevMachine(machine.name, machine.address, str(machine.door), f"http://127.0.0.1:{port}", "off")


async def _partings(underlay: Underlay) -> list[DevParting]:
    try:
        return await underlay.partings() if underlay.enclosure.holder() else []
    except FAILURES:
        if underlay.enclosure.holder():
            raise
        return []  # it ended while it was asked, and what was lost on it with it


async def _state(machine: Machine) -> DevState:
    if not machine.enclosure.holder():
        return "off"
    if machine.is_paused():
        return "paused"
    return "up" if await machine.answers() else "down"
