"""Making, finding and removing local clusters. Each is found again whatever became of who made it.

Today's driver gives each machine namespaces of its own on this host, and a cluster has one machine.
"""

import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec.structs import replace

from daemon.dev.cgroup import Group, hierarchies
from daemon.dev.folder import ClusterRecord, Folder, MachineRecord, folders, locked
from daemon.dev.machine import Machine, MachineFailed
from daemon.dev.ports import listen
from daemon.dev.story import Story, Tell
from daemon.wire import NAME, DevCluster, DevDown, DevLs, DevRequest, DevUp, Refused, Stuck, Success, TakenBack
from daemon.wire import Machine as MachineAnswer
from runtime.command import CommandError

ROOT = Path("/var/lib/ployz-dev")
LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path (unix(7))."""
FIRST_PORT = 8080
FAILURES = (MachineFailed, CommandError, OSError)


@dataclass(frozen=True)
class Site:
    """Where this host keeps its clusters, the words that start a machine's daemon, and seconds it may take."""

    root: Path
    program: tuple[str, ...]
    patience: float = 90.0


async def serve(request: DevRequest, tell: Tell, site: Site) -> Success:
    """Do what is asked for, telling each step. Raises a wire.Problem."""
    match request:
        case DevLs():
            return await _ls(site)
        case DevUp():
            return await _up(request, Story(f"dev-up-{request.name}", tell), site)
        case DevDown():
            return await _down(request, Story(f"dev-down-{request.name}", tell), site)


# ------------------------------------------------------------------------------------------------ places


@dataclass(frozen=True)
class Cluster:
    """One cluster's places: its folder, and its control group, whose name tells it from those of other sites."""

    folder: Folder
    group: Group
    site: Site

    def exists(self) -> bool:
        """Whether anything tells of it: its folder, one that was being made, or its control group."""
        path = self.folder.path
        return path.exists() or path.with_name(f".{path.name}.new").exists() or self.group.exists()

    def machine(self, name: str) -> Machine:
        group = Group(f"{self.group.name}/{name}", self.group.hierarchies)
        return Machine(self.folder.path / name, group, self.site.program)

    def machines(self) -> list[Machine]:
        """Those that its file names, and those that only their control groups tell of."""
        record = self.folder.read()
        names = {machine.name for machine in record.machines} if record else set()
        return [self.machine(name) for name in sorted(names | self.group.children())]


def locate(name: str, site: Site) -> Cluster:
    """Where the cluster of that name is, or would be."""
    folder = Folder(site.root / name)
    digest = hashlib.sha256(os.fsencode(folder.path)).hexdigest()[:8]
    mounted = hierarchies(Path("/proc/self/mountinfo").read_text())
    return Cluster(folder, Group(f"ployz-dev-{name}-{digest}", mounted), site)


async def _answer(cluster: Cluster) -> DevCluster:
    record = cluster.folder.read()
    machines = [await _tell_machine(cluster, each) for each in record.machines] if record else []
    return DevCluster(cluster.folder.name, "namespace", machines)


async def _tell_machine(cluster: Cluster, record: MachineRecord) -> MachineAnswer:
    machine = cluster.machine(record.name)
    up = machine.holder() is not None and await machine.answers()
    return MachineAnswer(record.name, str(machine.door), f"http://127.0.0.1:{record.port}", up)


# ---------------------------------------------------------------------------------------------------- up


@dataclass
class Rise:
    """Bringing one cluster up; `begun` are the machines that this command has started."""

    cluster: Cluster
    record: ClusterRecord
    story: Story
    begun: list[Machine] = field(default_factory=list)

    async def bring_up(self) -> None:
        self.cluster.folder.write(self.record)
        for each in self.record.machines:
            machine = self.cluster.machine(each.name)
            await self._power_on(machine)
            await self._open_way_in(machine, each)
            await self._start_daemon(machine)
        if not self.story.step:
            self.story.already(f"{self.record.name} runs already")

    async def _power_on(self, machine: Machine) -> None:
        if machine.holder():
            return
        with self.story.doing(f"Start machine {machine.name} in namespaces of its own"):
            self.begun.append(machine)
            await machine.power_off()  # what a start that was cut off has left
            await machine.power_on()

    async def _open_way_in(self, machine: Machine, record: MachineRecord) -> None:
        if await machine.find(machine.relays):
            return
        with listen(record.port, _ports_of_others(self.cluster)) as listening:
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


async def _up(ask: DevUp, story: Story, site: Site) -> Success:
    _require_possible(ask, site)
    cluster = locate(ask.name, site)
    async with locked(site.root, site.patience):
        before = cluster.folder.read()
        rise = Rise(cluster, before or ClusterRecord(ask.name, "namespace", (MachineRecord("m1", FIRST_PORT),)), story)
        try:
            await rise.bring_up()
        except BaseException as error:
            await _take_back(rise, existed=before is not None)
            if isinstance(error, FAILURES):
                raise TakenBack("dev.machine", f"cannot bring {ask.name} up", str(error)) from error
            raise
        return Success("dev", msgspec.to_builtins(await _answer(cluster)))


async def _take_back(rise: Rise, *, existed: bool) -> None:
    """Leave things as they were: no cluster, or one whose machines are off that this command had started."""
    name = rise.record.name
    try:
        with rise.story.undoing(f"End what was started of {name}"):
            for machine in rise.begun:
                await machine.power_off()
            if not existed:
                await _remove(rise.cluster)
    except FAILURES as error:
        raise Stuck("dev.stuck", f"cannot take {name} back", str(error), f"ployzctl dev down --name {name}") from error


def _require_possible(ask: DevUp, site: Site) -> None:
    what = f"cannot bring {ask.name} up"
    _require_name(ask.name, what)
    if ask.driver != "namespace":
        raise Refused("dev.driver", what, f"there is no driver {ask.driver} yet", "--driver namespace")
    if ask.machines != 1:
        raise Refused("dev.machines", what, "a local cluster has exactly one machine as yet", "--machines 1")
    cluster = locate(ask.name, site)
    if len(os.fsencode(cluster.machine("m1").door)) > LONGEST_SOCKET:
        raise Refused("dev.path", what, f"{cluster.folder.path} is too long for a socket in it", "a shorter --name")
    if os.geteuid() != 0:
        raise Refused("dev.root", what, "namespaces, mounts and control groups need root", "sudo")
    if not cluster.group.hierarchies:
        raise Refused("dev.cgroups", what, "no control groups are mounted", "mount -t cgroup2 cgroup /sys/fs/cgroup")


def _require_name(name: str, what: str) -> None:
    if not re.fullmatch(NAME, name):
        raise Refused("dev.name", what, f"a name looks like {NAME}", "dev")


def _ports_of_others(cluster: Cluster) -> set[int]:
    ports = set()
    for folder in folders(cluster.site.root):
        with suppress(Refused):
            record = folder.read()
            if record and record.name != cluster.folder.name:
                ports |= {machine.port for machine in record.machines}
    return ports


# --------------------------------------------------------------------------------------------- down and ls


async def _down(ask: DevDown, story: Story, site: Site) -> Success:
    what = f"cannot remove {ask.name}"
    _require_name(ask.name, what)
    cluster = locate(ask.name, site)
    if not cluster.exists():
        raise Refused("dev.missing", what, f"there is no such cluster in {site.root}", "ployzctl dev ls")
    async with locked(site.root, site.patience):
        if mounted := _mounts_below(cluster.folder.path):
            raise Refused("dev.mounted", what, f"something else is mounted at {mounted[0]}", f"umount {mounted[0]}")
        try:
            gone = await _answer(cluster)
            with story.doing(f"End all that runs in {ask.name}, and remove its folder {cluster.folder.path}"):
                kept = await _remove(cluster)
        except FAILURES as error:
            raise Stuck("dev.stuck", what, str(error), f"ployzctl dev down --name {ask.name}") from error
    warnings = [f"left {cluster.folder.path / name}, which was not made by dev up" for name in kept]
    gone = replace(gone, machines=[replace(machine, up=False) for machine in gone.machines])
    return Success("dev", msgspec.to_builtins(gone), warnings=warnings)


async def _remove(cluster: Cluster) -> list[str]:
    """Remove everything of it; return the names in its folder that are not its own."""
    machines = cluster.machines()
    for machine in machines:
        await machine.power_off()
    cluster.group.remove()
    kept = cluster.folder.remove([machine.folder for machine in machines])
    if cluster.site.root == ROOT:
        with suppress(OSError):  # others are in it
            ROOT.rmdir()
    return kept


def _mounts_below(folder: Path) -> list[str]:
    """Nothing of a cluster is mounted outside of its machines, so what is there is somebody else's."""
    places = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [place for place in places if Path(place).is_relative_to(folder)]


async def _ls(site: Site) -> Success:
    clusters = []
    for folder in folders(site.root):
        with suppress(Refused):  # not ours: down says so when it is asked
            clusters.append(await _answer(locate(folder.name, site)))
    return Success("clusters", {"clusters": msgspec.to_builtins(clusters)})
