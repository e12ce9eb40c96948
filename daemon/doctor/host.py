"""What a host has to bring along before there is a daemon: rights, programs, control groups, room."""

import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from shutil import which

from daemon.dev.cgroup import Hierarchy, hierarchies
from daemon.doctor.assumption import Assumption, Finding, failure, ok, warning
from daemon.doctor.kernel import KERNEL
from runtime.command import CommandError, run

PROGRAMS = {
    "zpool": "zfs-fuse",
    "dockerd": "docker.io",
    "nft": "nftables",
    "ip": "iproute2",
    "dnsmasq": "dnsmasq-base",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "flock": "util-linux",
    "mount": "mount",
    "sysctl": "procps",
    "tini": "tini",
}
"""Each program that is started, and the package of Debian and Ubuntu that brings it."""
VERSIONS = {"dockerd": "--version", "nft": "--version", "dnsmasq": "--version", "ip": "-V"}
"""Of those whose version matters when something is odd, and how they tell it."""
CONTROLLERS = {"cpu": "resources.cpus", "memory": "resources.memory", "pids": "limits on processes"}
"""What a manifest may ask for, by the controller that it needs."""
GIB = 2**30
PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def assumptions(folder: Path) -> list[Assumption]:
    """Those of a host whose data is, or is going to be, in `folder`."""
    return [
        Assumption("root", rights, "run it as root (sudo)"),
        Assumption("programs", programs, "install what is missing (dev/install does)"),
        *KERNEL,
        Assumption(
            "cgroups", cgroups, "mount the control groups (systemd does; else `apt-get install cgroupfs-mount`)"
        ),
        Assumption("disk", partial(disk, folder), f"see why {folder} cannot be read"),
        Assumption("memory", memory, "mount /proc"),
    ]


async def rights() -> Finding:
    return judge_rights(os.geteuid())


def judge_rights(uid: int) -> Finding:
    if uid:
        return failure(f"it is uid {uid} who asks, and pools, networks and namespaces need root", "the same with sudo")
    return ok("it is root who asks")


async def programs() -> Finding:
    there = {program for program in PROGRAMS if which(program, path=PLACES)}
    versions = {name: await _version(name, word) for name, word in VERSIONS.items() if name in there}
    return judge_programs(there, versions)


async def _version(program: str, word: str) -> str:
    try:
        return version_in(await run(program, word, within=10.0))
    except CommandError:
        return ""


def version_in(text: str) -> str:
    """The first thing in a program's words that looks like a version."""
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    return found[0] if found else ""


def judge_programs(there: set[str], versions: Mapping[str, str]) -> Finding:
    if missing := [program for program in PROGRAMS if program not in there]:
        packages = sorted({PROGRAMS[program] for program in missing})
        return failure(f"not installed: {', '.join(missing)}", f"apt-get install {' '.join(packages)}")
    told = [f"{program} {version}" for program, version in versions.items() if version]
    return ok(f"all {len(PROGRAMS)} are there: {', '.join(told)}")


async def cgroups() -> Finding:
    mounted = hierarchies(Path("/proc/self/mountinfo").read_text())
    return judge_cgroups(mounted, [_controllers(each) for each in mounted])


def _controllers(hierarchy: Hierarchy) -> set[str]:
    if hierarchy.version == 1:
        return set(hierarchy.options)
    return set((hierarchy.path / "cgroup.controllers").read_text().split())


def judge_cgroups(mounted: Sequence[Hierarchy], controllers: Sequence[set[str]]) -> Finding:
    if not mounted:
        return failure("none are mounted", "mount them: systemd does, else `apt-get install cgroupfs-mount`")
    found = set().union(*controllers)
    if lacking := [f"{name} ({needs})" for name, needs in CONTROLLERS.items() if name not in found]:
        return warning(f"without {', '.join(lacking)}: what asks for it is refused", "boot with cgroup_enable=memory")
    versions = " and ".join(f"v{each}" for each in sorted({each.version for each in mounted}))
    return ok(f"{versions}, with {', '.join(CONTROLLERS)}")


async def disk(folder: Path) -> Finding:
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    told = os.statvfs(there)
    return judge_disk(str(there), told.f_bavail * told.f_frsize, told.f_blocks * told.f_frsize)


def judge_disk(place: str, free: int, size: int) -> Finding:
    """Journals and images lie there, and the pool's file: without room nothing can be changed safely."""
    says = f"{free / GIB:.1f} of {size / GIB:.1f} GiB are free where {place} is"
    if free < GIB // 2:
        return failure(says, "free space there: below 0.5 GiB no change can be relied on")
    if free < 2 * GIB:
        return warning(says, "free space there, before journals and images fill it")
    return ok(says)


async def memory() -> Finding:
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kibibytes = {words[0].rstrip(":"): int(words[1]) for words in lines}
    return judge_memory(kibibytes["MemAvailable"] * 1024)


def judge_memory(available: int) -> Finding:
    says = f"{available / GIB:.1f} GiB are available"
    if available < GIB // 8:
        return failure(says, "end something that needs much of it, or add some")
    if available < GIB // 2:
        return warning(says, "ployz itself takes about 0.3 GiB: see what else runs here")
    return ok(says)
