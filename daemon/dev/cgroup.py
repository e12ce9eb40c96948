"""A machine's own control groups: what runs in it is in them, so everything can be found and ended by their name.

Each mounted hierarchy, v1 or v2, gets `<cluster's group>/<machine>`. Under v2 processes are in a leaf `init` of
it, because a group that hands controllers on may hold none itself.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LEAF = "init"


@dataclass(frozen=True)
class Hierarchy:
    """A mounted hierarchy; `options` are those that mount it again (v1: its controllers)."""

    path: Path
    version: int
    options: tuple[str, ...] = ()

    @property
    def mounts(self) -> tuple[str, ...]:
        """The words that mount it."""
        kind = ("-t", "cgroup2") if self.version == 2 else ("-t", "cgroup", "-o", ",".join(self.options))
        return ("mount", *kind, "cgroup", str(self.path))


@dataclass(frozen=True)
class Group:
    """One group, of the same name in all hierarchies: `name` is its path below each of them."""

    name: str
    hierarchies: tuple[Hierarchy, ...]

    def folders(self) -> list[Path]:
        return [hierarchy.path / self.name for hierarchy in self.hierarchies]

    def doors(self, *, founding: bool = False) -> list[Path]:
        """The files through which a process joins: of the group itself for the one that founds its namespace."""
        leaf = {1: "", 2: "" if founding else LEAF}
        return [each.path / self.name / leaf[each.version] / "cgroup.procs" for each in self.hierarchies]

    def make(self) -> None:
        """Make it, with its parents. Raises OSError."""
        for hierarchy in self.hierarchies:
            below = hierarchy.path
            for part in Path(self.name).parts:
                _make_group(below / part, hierarchy)
                below = below / part
            if hierarchy.version == 2:
                (below / LEAF).mkdir(exist_ok=True)

    def settle(self) -> None:
        """Under v2, move what founded the namespace into the leaf."""
        for hierarchy in self.hierarchies:
            if hierarchy.version == 2:
                for pid in _pids(hierarchy.path / self.name):
                    with suppress(ProcessLookupError):
                        (hierarchy.path / self.name / LEAF / "cgroup.procs").write_text(str(pid))

    def exists(self) -> bool:
        return any(folder.is_dir() for folder in self.folders())

    def children(self) -> set[str]:
        """The names of the groups right below it."""
        return {
            entry.name for folder in self.folders() if folder.is_dir() for entry in folder.iterdir() if entry.is_dir()
        }

    def members(self) -> set[int]:
        """Every process in it and in the groups below it."""
        return {pid for folder in self.folders() for group in _tree(folder) for pid in _pids(group)}

    def remove(self) -> None:
        """Remove it with the groups below it. Raises OSError (EBUSY) while a process is in one of them."""
        for folder in self.folders():
            for group in reversed(list(_tree(folder))):
                with suppress(FileNotFoundError):
                    group.rmdir()


def hierarchies(mountinfo: str) -> tuple[Hierarchy, ...]:
    """What is mounted, by the text of /proc/self/mountinfo (proc_pid_mountinfo(5)); of two at a place the later."""
    found = {}
    for line in mountinfo.splitlines():
        mount, _, system = line.partition(" - ")
        kind, _, options = system.split(" ", 2)
        path = Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), mount.split()[4]))
        if kind == "cgroup2":
            found[path] = Hierarchy(path, 2)
        elif kind == "cgroup":
            found[path] = Hierarchy(path, 1, _controllers(options))
    return tuple(found.values())


def _controllers(options: str) -> tuple[str, ...]:
    others = {"rw", "ro", "clone_children", "cpuset_v2_mode", "noprefix", "xattr"}
    return tuple(word for word in options.split(",") if word not in others and not word.startswith("release_agent="))


def _make_group(folder: Path, hierarchy: Hierarchy) -> None:
    folder.mkdir(exist_ok=True)
    if hierarchy.version == 2 and not _pids(folder):
        for controller in (folder / "cgroup.controllers").read_text().split():
            with suppress(OSError):  # one that the kernel does not hand on is no loss: none is relied upon
                (folder / "cgroup.subtree_control").write_text(f"+{controller}")
    if "cpuset" in hierarchy.options:
        for share in ("cpuset.cpus", "cpuset.mems"):  # empty in a new group, and then nothing can join
            (folder / share).write_text((folder.parent / share).read_text())


def _tree(folder: Path) -> Iterator[Path]:
    """The group and all below it, parents first."""
    for path, folders, _ in os.walk(folder):
        yield Path(path)
        folders.sort()


def _pids(group: Path) -> set[int]:
    """Its processes; one of another process namespace shows as 0, and cannot be ended from here."""
    try:
        return {int(pid) for pid in (group / "cgroup.procs").read_text().split()} - {0}
    except OSError:
        return set()
