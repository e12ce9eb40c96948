"""What a plan needs to know of the world: which instances run, which names are taken, how full the pool is."""

from daemon.node import Node
from daemon.planning import Seen
from daemon.primitive import require

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


async def require_room(node: Node, what: str) -> None:
    """Refuse while the pool is too full to change anything safely."""
    space = await node.datasets.space()
    require(
        space.used <= FULL * space.size,
        "pool.full",
        what,
        f"the pool of {node.machine} is {100 * space.used // space.size} % full "
        f"({space.used} of {space.size} bytes), and above {FULL:.0%} nothing is changed",
        "free space, or make the pool larger",
    )
