"""What the ZFS at hand can do: asked for once, never guessed."""

from dataclasses import dataclass

from dataplane.dataset import PoolUnavailable
from runtime.command import CommandError, Finished, finish

RESUMING = "feature@extensible_dataset"
"""The feature of a pool in which `zfs receive -s` keeps how far a stream came."""


@dataclass(frozen=True)
class Abilities:
    """What this `zfs` can do in one command: snapshot several datasets at one instant, set several marks. And whether
    it `resumes`: keeps what came of a stream that broke, and goes on from there."""

    several_snapshots: bool
    several_marks: bool
    resumes: bool


async def ask_abilities(pool: str, zfs: str = "zfs", zpool: str = "zpool") -> Abilities:
    """Ask the programs themselves: OpenZFS (0.8 or newer) has `zfs version`, zfs-fuse does not know that word."""
    told = await _told(zfs, "version")
    if told.code == 0 and "zfs-" in told.out:
        return Abilities(several_snapshots=True, several_marks=True, resumes=await _resumes(pool, zpool))
    if told.code == 2 and "unrecognized command" in told.error:
        return Abilities(several_snapshots=False, several_marks=False, resumes=False)
    raise _unclear(zfs, told)


async def _resumes(pool: str, zpool: str) -> bool:
    """Every such `zfs` knows `receive -s`, and refuses it in an old pool that nobody gave the feature."""
    told = await _told(zpool, "get", "-H", "-o", "value", RESUMING, pool)
    if told.code == 0 and (state := told.out.strip()) in ("active", "enabled", "disabled", "-"):
        return state in ("active", "enabled")
    raise _unclear(zpool, told)


async def _told(program: str, *argv: str) -> Finished:
    try:
        return await finish(program, *argv, within=60.0, may_exit=(0, 1, 2))
    except CommandError as silent:
        raise PoolUnavailable(f"cannot ask {program} what it is able to do: {silent}") from None


def _unclear(program: str, told: Finished) -> PoolUnavailable:
    return PoolUnavailable(f"cannot tell what {program} is able to do: it answered {told.out or told.error!r}")
