"""Where a volume goes from and to, as both machines tell it: what of it is there already, and what is in the way."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from msgspec.structs import replace

from daemon import sending
from daemon.engine import together
from daemon.lineage import volume_of
from daemon.migrating import Move, planning
from daemon.migrating.planning import Ends
from daemon.node import Datasets, Node
from daemon.primitive import By, confirm, require
from daemon.records import DeployPoint, Machine, Volume
from daemon.sending import Way
from daemon.volumes import folder
from daemon.wire import Migrate, Refused, VolumeSend
from dataplane.dataset import Dataset, ZfsProblem


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
    now, line = await _now(way.source, source)
    there = await target.datasets.below(volume_of(way.dataset))
    space = await target.datasets.space()
    found = await source.datasets.below(volume_of(way.source))
    ends = Ends(now, line, there, space.size - space.used, found)
    return planning.move(way, new, ends, points, by)


async def _now(dataset: str, node: Node) -> tuple[Dataset, list[Dataset]]:
    """A generation, and its line of snapshots, oldest first."""
    now = await node.datasets.look(dataset)
    confirm(now, f"{dataset} is not on {node.machine}")
    assert now
    return now, await sending.snapshots(dataset, node)


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


# ---------------------------------------------------------------------------------------------- on other machines


async def lacking(namespace: str, volumes: Iterable[Volume], node: Node) -> Mapping[str, int]:
    """About how many bytes would have to go to each other machine, for it to have these volumes."""
    lacks = Counter[str]()
    for each in await together([_lacking(namespace, volume, node) for volume in volumes]):
        lacks.update(each)
    return lacks


async def _lacking(namespace: str, volume: Volume, node: Node) -> dict[str, int]:
    source, lacks = node.at(volume.machine), dict[str, int]()
    with _if_it_answers():
        now, line = await _now(f"{folder(namespace, volume.name, source)}/{volume.generation}", source)
        names = sorted((await node.members.machines()).keys() - {volume.machine})
        there = await together([_has(folder(namespace, volume.name, node.at(name)), node.at(name)) for name in names])
        bases = [planning.common(line, has) for has in there]
        lacks |= {name: planning.estimate(now, line, base) for name, base in zip(names, bases, strict=True)}
    return lacks


async def _has(dataset: str, node: Node) -> list[Dataset]:
    found = list[Dataset]()
    with _if_it_answers():
        found += await node.datasets.below(dataset)
    return found


@contextmanager
def _if_it_answers() -> Iterator[None]:
    try:
        yield
    except ZfsProblem:
        pass
    except Refused as refused:
        if refused.code != "machine.unreachable":
            raise


async def beside(move: Move, names: Iterable[str], node: Node) -> Move:
    """With those of these machines, besides its ends, that kept something of it for others."""
    others = sorted({*names} - {move.way.machine, move.way.to})
    within = [folder(move.marks["namespace"], move.volume.name, node.at(name)) for name in others]
    keep = await together([_keeps(one, node.at(name)) for one, name in zip(within, others, strict=True)])
    return replace(move, keeping=(*move.keeping, *(name for name, does in zip(others, keep, strict=True) if does)))


async def _keeps(dataset: str, node: Node) -> bool:
    """False also where nobody can tell: no move waits for that."""
    return planning.keeps(await _has(dataset, node))
