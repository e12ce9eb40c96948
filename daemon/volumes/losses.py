"""What would be lost with a machine: data that no other one has which answers; and what there is elsewhere of it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from daemon.lineage import volume_of
from daemon.node import Datasets, Node
from daemon.records import DeployPoint, Head
from daemon.seeing import points_of_all
from daemon.volumes import needs
from daemon.wire import Instead, Loss
from dataplane.dataset import Dataset

Pools = Mapping[str, Sequence[Dataset]]
"""What there is below the root of each machine that answers."""


async def losses(machine: str, node: Node, there: Iterable[str]) -> list[Loss]:
    """Of each volume what only that machine has, among those that are `there`: the volume itself, what deploy points
    need of it, and named snapshots. Of a machine that does not answer nobody knows what snapshots were named there.

    Raises Refused `machine.unreachable` where one does not answer any more.
    """
    records, points = await node.records.namespaces(), await points_of_all(node)
    heads = [record.head for _, record in sorted(records.items()) if record.head]
    pools = {name: await _below(node.at(name).datasets) for name in there}
    return find(machine, heads, points, pools)


async def _below(datasets: Datasets) -> list[Dataset]:
    return await datasets.below(datasets.root)


def find(machine: str, heads: Iterable[Head], points: Iterable[DeployPoint], pools: Pools) -> list[Loss]:
    """A pure function of records, and of what the pools have."""
    others = {name: pool for name, pool in pools.items() if name != machine}
    elsewhere = {one.guid for pool in others.values() for one in pool if "@" in one.name}
    own = pools.get(machine)
    there = {one.guid for one in own if "@" in one.name} if own is not None else None
    volumes = ((head.namespace, volume) for head in heads for volume in head.volumes.values())
    current = {(namespace, one.name): one.epoch for namespace, one in volumes if one.machine == machine}
    deploys: dict[tuple[str, str], list[int]] = {}
    for point in points:
        for held in point.data:
            if held.guid not in elsewhere and (there is None or held.guid in there):
                deploys.setdefault((point.head.namespace, held.volume), []).append(point.head.deploy)
    named = dict[tuple[str, str], list[str]]()
    for of, name in _named(own or (), elsewhere):
        named.setdefault(of, []).append(name)
    left = {of: instead(*of, epoch, others) for of, epoch in current.items()}
    return [
        Loss(*of, of in current, deploys.get(of, []), named.get(of, []), left.get(of))
        for of in sorted(current.keys() | deploys.keys() | named.keys())
    ]


def _named(pool: Iterable[Dataset], elsewhere: Collection[str]) -> Iterator[tuple[tuple[str, str], str]]:
    for one in pool:
        if "@" in one.name and one.marks.get("name") and one.guid not in elsewhere:
            yield (one.marks["namespace"], one.marks["volume"]), one.marks["name"]


def instead(namespace: str, volume: str, epoch: int, others: Pools) -> Instead | None:
    """The newest that other machines have of the volume of this epoch: a copy, a generation that was left, or one that
    was on its way; None if they have nothing.

    Of two generations the one of the later epoch is newer, and in it the last snapshot. What was on its way is of the
    epoch that it left in.
    """
    found = [
        (_epoch(one, epoch), last.created, name, last)
        for name, pool in others.items()
        for one in pool
        if _is_left(one, namespace, volume) and (last := _last(one, pool))
    ]
    if not found:
        return None
    _, created, machine, last = max(found, key=lambda one: one[:3])
    generation, _, snapshot = last.name.rpartition("/")[2].partition("@")
    return Instead(machine, generation, snapshot, needs.moment(created))


def _epoch(generation: Dataset, now: int) -> int:
    """The one that its data is of. What was carried along with a volume is older than all that was the volume there."""
    if generation.marks.get("state") == "kept":
        return int(generation.marks.get("epoch", "0"))
    return min(int(generation.marks.get("epoch", now)), now)


def _is_left(dataset: Dataset, namespace: str, volume: str) -> bool:
    own = "@" not in dataset.name and volume_of(dataset.name).endswith(f"/{namespace}/{volume}")
    return own and "operation" in dataset.marks and dataset.marks.get("state") != "current"


def _last(generation: Dataset, pool: Iterable[Dataset]) -> Dataset | None:
    own = [one for one in pool if one.name.startswith(f"{generation.name}@")]
    return max(own, key=lambda one: one.order, default=None)
