"""What an instance on the host may use at most: the control groups of its command, and what is written into them.

Under v1 each controller has a hierarchy of its own, with a group of the instance's name in it. Under v2 the command is
in a group within the instance's, and the supervisor in another one: a group that hands controllers on may hold no
process itself, and a supervisor is not to be ended because its command takes too much.
"""

import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime.host.group import Hierarchy
from runtime.instance import Bounds, EngineProblem, SettingIgnored

PERIOD = 100_000
"""Microseconds in which a command may use so many of its processors' (cgroups(7), cpu.max)."""
CONTROLLERS = ("memory", "cpu")


@dataclass(frozen=True)
class Limits:
    """`command` are the groups that commands of the instance join, `supervisor` the one that its supervisor moves to.

    `writes` are files with what goes into them, `hands_on` the groups that have to hand controllers on before,
    outermost first. `kills` is the file in which the kernel counts those that took too much memory.
    """

    command: tuple[Path, ...]
    supervisor: Path | None = None
    hands_on: tuple[Path, ...] = ()
    writes: Mapping[Path, str] = field(default_factory=dict)
    kills: Path | None = None

    def apply(self) -> None:
        """Make the groups, limit them, and read that back. Raises OSError, SettingIgnored."""
        for group in self.hands_on:
            (group / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in CONTROLLERS))
        for group in self.command:
            group.mkdir(parents=True, exist_ok=True)
        for file, text in self.writes.items():
            file.write_text(text)
            if (found := file.read_text().strip()) != text:
                raise SettingIgnored(f"the kernel limits {file.parent.name} otherwise than asked: {found}, not {text}")


def limits(group: Path, bounds: Bounds, hierarchies: list[Hierarchy]) -> Limits:
    """Those of the instance whose control group is `group`. Raises SettingIgnored where nothing limits it."""
    if bounds.memory is None and bounds.cpus is None:
        return Limits((group,))
    home = _home(group, hierarchies)
    if home.version == 2 and set(CONTROLLERS) <= set(_read(home.path / "cgroup.controllers").split()):
        return _unified(group, home.path, bounds)
    v1 = _controllers(hierarchies)
    if v1.keys() != set(CONTROLLERS):
        raise SettingIgnored("this machine has no control groups that limit memory and processors: leave resources out")
    return _apart(group, group.relative_to(home.path), v1["memory"], v1["cpu"], bounds)


def beside(group: Path, hierarchies: list[Hierarchy]) -> list[Path]:
    """The groups of its name in the hierarchies of controllers, there or not."""
    name = group.relative_to(_home(group, hierarchies).path)
    return [path / name for path in _controllers(hierarchies).values()]


def _controllers(hierarchies: list[Hierarchy]) -> dict[str, Path]:
    """Where each controller has a hierarchy (v1)."""
    v1 = [each for each in hierarchies if each.version == 1]
    return {controller: each.path for controller in CONTROLLERS for each in v1 if controller in each.words}


def _home(group: Path, hierarchies: list[Hierarchy]) -> Hierarchy:
    """The hierarchy that it lies in."""
    holding = [each for each in hierarchies if group.is_relative_to(each.path)]
    if not holding:
        raise EngineProblem(f"no hierarchy of control groups is mounted where {group} lies")
    return max(holding, key=lambda each: len(each.path.parts))


def _apart(group: Path, name: Path, memory: Path, cpu: Path, bounds: Bounds) -> Limits:
    swap = (memory / "memory.memsw.limit_in_bytes").exists()
    return Limits(
        command=(group, memory / name, cpu / name),
        writes=dict(_v1(memory / name, cpu / name, bounds, swap=swap)),
        kills=memory / name / "memory.oom_control",
    )


def _v1(memory: Path, cpu: Path, bounds: Bounds, *, swap: bool) -> Iterator[tuple[Path, str]]:
    if bounds.memory is not None:
        yield memory / "memory.limit_in_bytes", _whole_pages(bounds.memory)
        if swap:
            yield memory / "memory.memsw.limit_in_bytes", _whole_pages(bounds.memory)
    if bounds.cpus is not None:
        yield cpu / "cpu.cfs_period_us", str(PERIOD)
        yield cpu / "cpu.cfs_quota_us", _quota(bounds.cpus)


def _unified(group: Path, root: Path, bounds: Bounds) -> Limits:
    command = group / "command"
    above = [group, *group.parents][: len(group.relative_to(root).parts) + 1]
    return Limits(
        command=(command,),
        supervisor=group / "supervisor",
        hands_on=tuple(reversed(above)),
        writes=dict(_v2(command, bounds)),
        kills=command / "memory.events",
    )


def _v2(command: Path, bounds: Bounds) -> Iterator[tuple[Path, str]]:
    if bounds.memory is not None:
        yield command / "memory.max", _whole_pages(bounds.memory)
        if Path("/proc/swaps").read_text().count("\n") > 1:
            yield command / "memory.swap.max", "0"
    if bounds.cpus is not None:
        yield command / "cpu.max", f"{_quota(bounds.cpus)} {PERIOD}"


def _whole_pages(size: int) -> str:
    page = resource.getpagesize()
    return str(size // page * page)


def _quota(cpus: float) -> str:
    return str(round(cpus * PERIOD))


def _read(file: Path) -> str:
    return file.read_text() if file.exists() else ""
