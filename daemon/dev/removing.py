"""Removing a local cluster, with everything that it holds and nothing else."""

from contextlib import suppress
from pathlib import Path

import msgspec

from daemon.dev.cluster import ROOT, Cluster, Site, changing, told_off
from daemon.dev.story import Story
from daemon.wire import DevDown, Refused, Success


async def down(ask: DevDown, story: Story, site: Site) -> Success:
    """Remove the cluster. Raises Problem."""
    what = f"cannot remove {ask.name}"
    async with changing(ask.name, what, site) as cluster:
        if mounted := _mounts_below(cluster.folder.path):
            raise Refused("dev.mounted", what, f"something else is mounted at {mounted[0]}", f"umount {mounted[0]}")
        gone = told_off(cluster)
        with story.doing(f"End all that runs in {ask.name}, and remove its folder {cluster.folder.path}"):
            kept = await remove(cluster)
    warnings = [f"left {cluster.folder.path / name}, which was not made by dev up" for name in kept]
    return Success("dev", msgspec.to_builtins(gone), warnings=warnings)


async def remove(cluster: Cluster) -> list[str]:
    """Remove everything of it; return the names in its folder that are not its own. Raises FAILURES."""
    parts = [*(machine.enclosure for machine in cluster.machines()), cluster.underlay.enclosure]
    for enclosure in parts:
        await enclosure.power_off()
    cluster.group.remove()
    kept = cluster.folder.remove([enclosure.name for enclosure in parts])
    if cluster.site.root == ROOT:
        with suppress(OSError):  # others are in it
            ROOT.rmdir()
    return kept


def _mounts_below(folder: Path) -> list[str]:
    """Nothing of a cluster is mounted outside of its machines, so what is there is somebody else's."""
    places = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [place for place in places if Path(place).is_relative_to(folder)]
