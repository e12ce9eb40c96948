"""Names that are unique in the cluster: reserved before the commit, released once nothing stands on them."""

from daemon.change import Change, Name
from daemon.node import Node
from daemon.primitive import Step


def reserve(change: Change, node: Node) -> Step:
    namespace, by = change.after.namespace, change.operation

    async def do() -> None:
        for name in change.reserves:
            await node.records.reserve(name.kind, name.what, by, namespace)

    async def undo() -> None:
        for name in change.reserves:
            await node.records.release(name.kind, name.what, namespace, by)

    return Step(f"reserve {_spoken(change.reserves)}", do, undo)


def release(change: Change, node: Node) -> Step:
    async def do() -> None:
        for name in change.releases:
            await node.records.let_go(name.kind, name.what, change.after.namespace, change.operation)

    return Step(f"release {_spoken(change.releases)}", do)


def _spoken(names: tuple[Name, ...]) -> str:
    addresses = [name for name in names if name.kind in ("address", "service")]
    hosts = [name.what for name in names if name.kind == "hostname"]
    ports = [f"port {name.what} of the host" for name in names if name.kind == "port"]
    counted = [f"{len(addresses)} address{'es' if len(addresses) > 1 else ''}"] if addresses else []
    return " and ".join([*counted, *hosts, *ports])
