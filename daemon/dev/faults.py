"""What is done to a local cluster to see what it bears: plugs pulled, machines held still, networks parted."""

import msgspec

from daemon.dev.cluster import Cluster, Site, changing, told
from daemon.dev.freezer import Freezer
from daemon.dev.machine import Machine
from daemon.dev.story import Story
from daemon.wire import DevHeal, DevKill, DevPart, DevParting, DevPause, DevResume, Refused, Success, TakenBack


async def kill(ask: DevKill, story: Story, site: Site) -> Success:
    """Pull a machine's plug; nothing if it does not run. Raises Problem."""
    what = f"cannot kill {ask.machine}"
    async with changing(ask.name, what, site) as cluster:
        machine = _machine(cluster, ask.machine, what)
        with story.doing(f"Pull the plug of {machine.name}"):
            await machine.enclosure.power_off()
        return await _answer(cluster)


async def pause(ask: DevPause, story: Story, site: Site) -> Success:
    """Hold a machine still. Raises Problem."""
    what = f"cannot pause {ask.machine}"
    async with changing(ask.name, what, site) as cluster:
        machine, freezer = _freezer(cluster, ask.machine, what)
        with story.doing(f"Hold everything in {machine.name} still"):
            if not await freezer.hold():
                raise TakenBack("dev.machine", what, "something in it did not come to rest", "the same again")
        return await _answer(cluster)


async def resume(ask: DevResume, story: Story, site: Site) -> Success:
    """Let a machine go on; nothing if it is not paused. Raises Problem."""
    what = f"cannot resume {ask.machine}"
    async with changing(ask.name, what, site) as cluster:
        machine, freezer = _freezer(cluster, ask.machine, what)
        with story.doing(f"Let {machine.name} go on"):
            freezer.release()
        return await _answer(cluster)


async def part(ask: DevPart, story: Story, site: Site) -> Success:
    """Lose what goes between some machines and the others, besides what is lost already. Raises Problem."""
    names = sorted(set(ask.machines))
    what = f"cannot part {', '.join(names)} from the others"
    async with changing(ask.name, what, site) as cluster:
        for name in names:
            _machine(cluster, name, what)
        if len(names) == len(cluster.machines()):
            raise Refused("dev.part", what, f"{ask.name} has no others", "name the machines of one side only")
        if not cluster.underlay.enclosure.holder():
            raise Refused("dev.off", what, f"{ask.name} does not run", f"ployzctl dev up --name {ask.name}")
        wanted = DevParting(names, ask.loss, ask.one_way)
        others = [each for each in await cluster.underlay.partings() if each.machines != names]
        with story.doing(f"Part {', '.join(names)} from the others"):
            await cluster.underlay.part([*others, wanted])
        return await _answer(cluster)


async def heal(ask: DevHeal, story: Story, site: Site) -> Success:
    """End all partings and pauses. Raises Problem."""
    async with changing(ask.name, f"cannot heal {ask.name}", site) as cluster:
        with story.doing("End all partings and pauses"):
            if cluster.underlay.enclosure.holder():  # what was lost on it ended with it
                await cluster.underlay.part([])
            for machine in cluster.machines():
                if freezer := machine.enclosure.freezer:
                    freezer.release()
        return await _answer(cluster)


async def _answer(cluster: Cluster) -> Success:
    return Success("dev", msgspec.to_builtins(await told(cluster)))


def _machine(cluster: Cluster, name: str, what: str) -> Machine:
    known = {machine.name: machine for machine in cluster.machines()}
    if name not in known:
        raise Refused("dev.missing", what, f"{cluster.name} has the machines {', '.join(known)}", "ployzctl dev ls")
    return known[name]


def _freezer(cluster: Cluster, name: str, what: str) -> tuple[Machine, Freezer]:
    machine = _machine(cluster, name, what)
    if not machine.enclosure.holder():
        raise Refused("dev.off", what, f"{name} does not run", f"ployzctl dev up --name {cluster.name}")
    if not (freezer := machine.enclosure.freezer):
        raise Refused("dev.cgroups", what, "no control groups are mounted that hold processes still", "cgroup2")
    return machine, freezer
