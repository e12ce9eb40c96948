"""Where a volume goes from and to, as both machines tell it: what of it is there already, and what is in the way."""

from collections.abc import Sequence

from daemon import sending
from daemon.lineage import volume_of
from daemon.migrating import Move, planning
from daemon.migrating.planning import Ends
from daemon.node import Datasets, Node
from daemon.primitive import By, confirm, require
from daemon.records import DeployPoint, Machine, Volume
from daemon.sending import Way
from daemon.volumes import folder
from daemon.wire import Migrate, VolumeSend


def way(ask: Migrate | VolumeSend, volume: Volume, to: Machine, node: Node, by: By) -> Way:
    """From where the volume is to a generation of the operation's on another machine; without what both ends have to be
    asked about."""
    return Way(
        machine=volume.machine,
        source=f"{folder(ask.namespace, volume.name, node.at(volume.machine))}/{volume.generation}",
        guid="",
        to=to.name,
        address=to.overlay_ip,
        dataset=f"{folder(ask.namespace, volume.name, node.at(to.name))}/{by.operation}",
        rate=ask.rate,
    )


async def looked(way: Way, new: Volume, points: Sequence[DeployPoint], node: Node, by: By) -> Move:
    """What goes of a volume, and what of it is there. Raises Refused `volume.foreign`."""
    source, target = node.at(way.machine), node.at(way.to)
    await _require_free(way, target.datasets)
    now = await source.datasets.look(way.source)
    confirm(now, f"{way.source} is not on {way.machine}")
    assert now
    line = await sending.snapshots(way.source, source)
    there = await target.datasets.below(volume_of(way.dataset))
    space = await target.datasets.space()
    found = await source.datasets.below(volume_of(way.source))
    ends = Ends(now, line, there, space.size - space.used, found)
    return planning.move(way, new, ends, points, by)


async def _require_free(way: Way, target: Datasets) -> None:
    names = (*planning.parents(way.dataset), way.dataset)
    found = {name: await target.look(name) for name in names}
    strange = planning.foreign(names, found) or (way.dataset if found[way.dataset] else "")
    cannot, why = (
        f"cannot bring {'/'.join(way.dataset.split('/')[-3:-1])} to {way.to}",
        f"{strange} is there, and is not ours",
    )
    require(not strange, "volume.foreign", cannot, why, f"look at it on {way.to}: zfs list -t all -r {strange}")


def staying(move: Move) -> list[str]:
    """What deploy points need besides is in data of other namespaces, and stays where it is."""
    numbers = ", ".join(map(str, move.behind))
    return [f"the data of deploy {numbers} of {move.volume.name} stays on {move.way.machine}"] if numbers else []
