"""Where generations are mounted: in a tmpfs, so that of one that is not mounted no directory is left.

An engine starts instances at its own start, whether or not a pool is there. A mount point that outlived a boot would
be an empty directory for a database to begin anew in; in memory, none does, and the engine refuses to start.
"""

import os
from pathlib import Path

from dataplane.zfs_tool import DEAD, mounts
from runtime.command import run

NAME = "ployz-volumes"
SIZE = 16 * 1024**2
"""Bytes: it holds mount points and a note, nothing else."""


async def ensure_place(place: Path) -> None:
    """Have the tmpfs there. If mounts in it died with their zfs-fuse, it goes with all of them, at one instant."""
    if _is_there(place) and any(_is_dead(path) for _, path in mounts() if Path(path).is_relative_to(place)):
        await run("umount", "--lazy", str(place))
    if not _is_there(place):
        place.mkdir(parents=True, exist_ok=True)
        await run("mount", "-t", "tmpfs", "-o", f"mode=0755,size={SIZE}", NAME, str(place))


def _is_there(place: Path) -> bool:
    return (NAME, str(place)) in mounts(kinds=("tmpfs",))


def _is_dead(path: str) -> bool:
    """Not by stat(2): that the kernel goes on answering from what it remembers."""
    try:
        os.statvfs(path)
    except OSError as error:
        return error.errno in DEAD
    return False
