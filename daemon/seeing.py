"""What a plan needs to know of the world: which instances run, which names are taken, how full the pool is."""

from collections.abc import Iterable

from daemon.manifest import Volume
from daemon.nearest import nearest
from daemon.node import Node
from daemon.planning import Seen
from daemon.planning.identity import HOST
from daemon.primitive import require
from daemon.records import DeployPoint, Head
from daemon.wire import Refused

FULL = 0.95
"""A pool fuller than this is refused: copy-on-write needs room even to delete."""


async def see(node: Node) -> Seen:
    """Look around."""
    conditions = await node.instances.all()
    taken = {}
    for kind in ("address", "service", "hostname", "port"):
        found = await node.records.reservations(kind)
        taken[kind] = {what: held.namespace for what, held in found.items() if held.operation}
    taken["address"] = dict.fromkeys(await node.instances.addresses(), "") | taken["address"]
    return Seen(
        machine=node.machine,
        root=node.datasets.root,
        subnet=node.subnet,
        services=node.services,
        up=frozenset(condition.id for condition in conditions if condition.status == "running"),
        taken=taken,
        listening=frozenset(await node.serving.listening()),
    )


async def require_room(node: Node, what: str, needed: int = 0) -> None:
    """Refuse while the pool is too full to change anything safely, or would be with the `needed` bytes."""
    space = await node.datasets.space()
    more = f", {needed} bytes more are needed" if needed else ""
    require(
        space.used + needed <= FULL * space.size,
        "pool.full",
        what,
        f"the pool of {node.machine} is {100 * space.used // space.size} % full "
        f"({space.used} of {space.size} bytes){more}, and above {FULL:.0%} nothing is changed",
        "free space, or make the pool larger",
    )


async def digests_of(point: DeployPoint, services: Iterable[str], node: Node) -> dict[str, str]:
    """The point's own digests, wherever their tags may have moved; refused if an image is here no more."""
    digests = {name: point.head.services[name].digest for name in services}
    for digest in sorted(set(digests.values()) - {HOST}):
        await node.instances.resolve(digest, pull="never")
    return digests


async def snapshots_of(point: DeployPoint, node: Node, cannot: str) -> dict[str, str]:
    """Where the point's snapshots are now, by volume: promotions move them between datasets, so guids are looked up."""
    below = await node.datasets.below(f"{node.datasets.root}/{point.head.namespace}")
    by_guid = {dataset.guid: dataset.name for dataset in below if "@" in dataset.name}
    for held in point.data:
        require(
            held.guid in by_guid,
            "deploy.data_missing",
            f"{cannot} to deploy {point.head.deploy}",
            f"its snapshot of the volume {held.volume} is gone",
            "roll back with --code-only, or to another deploy",
        )
    return {held.volume: by_guid[held.guid] for held in point.data}


def volumes_of(head: Head) -> dict[str, Volume]:
    """All volumes of a head as a manifest says them, also those that its own no longer names."""
    return {name: Volume(v.quota, v.owner, v.mode) for name, v in head.volumes.items()}


async def bytes_by_volume(node: Node, namespace: str) -> dict[str, int]:
    """What the datasets of each volume of the namespace alone hold: those that are, and those of before."""
    within, held = f"{node.datasets.root}/{namespace}", dict[str, int]()
    for dataset in await node.datasets.below(within):
        volume = dataset.name.removeprefix(f"{within}/").partition("/")[0]
        held[volume] = held.get(volume, 0) + dataset.alone
    return {volume: alone for volume, alone in held.items() if "@" not in volume}


async def require_head(node: Node, namespace: str, what: str) -> Head:
    """The head of a namespace, as the store tells it now. Raises Refused `namespace.missing`."""
    head = (await node.records.namespace(namespace)).head
    if head is None:
        known = [name for name, record in (await node.records.namespaces()).items() if record.head]
        close = nearest(namespace, known)
        hint = f"did you mean {close}?" if close else "ployzctl status shows the namespaces that there are"
        raise Refused("namespace.missing", what, f"there is no namespace {namespace}", hint)
    return head
