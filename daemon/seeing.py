"""What a plan needs to know of the world: which instances run, which names are taken, how full the pool is."""

from daemon.nearest import nearest
from daemon.node import Node
from daemon.planning import Seen
from daemon.primitive import require
from daemon.records import Head
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
    return Seen(
        machine=node.machine,
        root=node.datasets.root,
        subnet=node.subnet,
        services=node.services,
        up=frozenset(condition.id for condition in conditions if condition.status == "running"),
        taken=taken,
        listening=frozenset(await node.serving.listening()),
    )


async def require_room(node: Node, what: str, more: int = 0) -> None:
    """Refuse while the pool is too full to change anything safely, or would be with so many bytes more."""
    space = await node.datasets.space()
    full = f"{100 * space.used // space.size} % full ({space.used} of {space.size} bytes)"
    added = f", and {more} bytes more may be written" if more else ""
    require(
        space.used + more <= FULL * space.size,
        "pool.full",
        what,
        f"the pool of {node.machine} is {full}{added}; above {FULL:.0%} nothing is changed",
        "free space, or make the pool larger",
    )


async def require_head(node: Node, namespace: str, what: str) -> Head:
    """The head of a namespace, as the store tells it now. Raises Refused `namespace.missing`."""
    head = (await node.records.namespace(namespace)).head
    if head is None:
        known = [name for name, record in (await node.records.namespaces()).items() if record.head]
        close = nearest(namespace, known)
        hint = f"did you mean {close}?" if close else "ployzctl status shows the namespaces that there are"
        raise Refused("namespace.missing", what, f"there is no namespace {namespace}", hint)
    return head
