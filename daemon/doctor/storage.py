"""The pool: whether it answers, how full it is, and what its ZFS can do."""

from typing import Protocol

from daemon.doctor.assumption import Finding, failure, ok, warning
from daemon.rows import FILLING_UP
from daemon.seeing import FULL
from daemon.units import rounded
from dataplane.dataset import Space
from dataplane.zfs_abilities import Abilities


class Pool(Protocol):
    """Raises dataset.ZfsProblem."""

    async def space(self) -> Space: ...


async def pool(asked: Pool) -> Finding:
    return judge_pool(await asked.space())


def judge_pool(space: Space) -> Finding:
    percent = 100 * space.used // max(space.size, 1)
    says, most = f"it is {percent} % full ({rounded(space.used)} of {rounded(space.size)})", f"above {100 * FULL:.0f} %"
    if space.used > FULL * space.size:
        return failure(f"{says}, and {most} nothing is changed", "free space in it, or make it larger")
    if space.used >= FILLING_UP * space.size:
        return warning(says, f"free space in it, or make it larger: {most} every change is refused")
    return ok(says)


async def zfs(abilities: Abilities) -> Finding:
    """Asked at the daemon's start, of the program itself."""
    if abilities.several_snapshots:
        broken = ", and a stream that breaks is gone on with" if abilities.resumes else ""
        return ok(f"OpenZFS: snapshots of several volumes are one command{broken}")
    return ok("zfs-fuse: snapshots of several volumes are one command below their namespace")
