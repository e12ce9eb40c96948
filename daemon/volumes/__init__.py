"""What the primitives that change one volume share: how it is found, what their plans hold, and their commit."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from daemon.node import Node
from daemon.primitive import By, Commit, Step, require
from daemon.records import Head, Namespace, Token, Volume
from daemon.seeing import require_head
from daemon.wire import NAME, Refused, VolumeChanged
from dataplane.dataset import Dataset as Dataset
from dataplane.dataset import Layout, NotOurs

T = TypeVar("T")

NO_TOKEN = Token(0, 0)
"""A preview has no claim, and never commits."""
NO_LAYOUT = Layout()
"""Owner and mode are those of the data; how large it may grow is said by a manifest, or by resizing it."""


class About(Struct, frozen=True, kw_only=True):
    """What every plan over one volume holds: whose, by which operation, and the head as it is to be committed."""

    operation: str
    token: Token
    namespace: str
    volume: str
    machine: str
    root: str
    after: Head | None
    warnings: tuple[str, ...] = ()


def about(namespace: str, volume: str, after: Head | None, node: Node, by: By) -> dict[str, Any]:
    """The fields of About, for the plan of a primitive that adds its own; `node` is the machine that has the volume."""
    return {
        "operation": by.operation,
        "token": by.tokens.get(namespace, NO_TOKEN),
        "namespace": namespace,
        "volume": volume,
        "machine": node.machine,
        "root": node.datasets.root,
        "after": after,
    }


def folder(namespace: str, volume: str, node: Node) -> str:
    """The dataset that all generations of the volume lie in."""
    return f"{node.datasets.root}/{namespace}/{volume}"


async def found(namespace: str, volume: str, cannot: str, node: Node) -> tuple[Head, Volume, Node]:
    """The head, the volume in it, and the machine that has it. Raises Refused `namespace.missing`, `volume.missing`."""
    head = await require_head(node, namespace, cannot)
    if volume not in head.volumes:
        hint = f"ployzctl volume ls {namespace}"
        raise Refused("volume.missing", cannot, f"there is no volume {volume} in {namespace}", hint)
    return head, head.volumes[volume], node.at(head.volumes[volume].machine)


async def search(
    namespace: str, volume: str, node: Node, look: Callable[[Node], Awaitable[T | None]]
) -> tuple[Node, T] | None:
    """Where something of a volume is, which may have been elsewhere before, and what was found: first where it is now.

    Machines that do not answer are left out, unless it is nowhere else: then raises Refused `machine.unreachable`.
    """
    away: Refused | None = None
    async for there, one in searched(namespace, volume, node, look):
        if not isinstance(one, Refused):
            return there, one
        away = away or one
    if away:
        raise away
    return None


async def searched(
    namespace: str, volume: str, node: Node, look: Callable[[Node], Awaitable[T | None]]
) -> AsyncIterator[tuple[Node, T | Refused]]:
    """Every machine that has something of a volume, first the one that it is on now, with what was found; and those
    that do not answer, with how they are said not to."""
    head = (await node.records.namespace(namespace)).head
    here = head.volumes[volume].machine if head and volume in head.volumes else node.machine
    for name in sorted(await node.members.machines(), key=lambda name: (name != here, name)):
        try:
            if (one := await look(node.at(name))) is not None:
                yield node.at(name), one
        except Refused as refused:
            if refused.code != "machine.unreachable":
                raise
            yield node.at(name), refused


async def named(name: str, namespace: str, volume: str, node: Node) -> Dataset | None:
    """The snapshot of the volume that a user called so, wherever promotions have taken it on this machine."""
    below = await node.datasets.below(node.datasets.root)
    wanted = {"name": name, "namespace": namespace, "volume": volume}.items()
    return next((one for one in below if "@" in one.name and wanted <= one.marks.items()), None)


async def require_named(name: str, namespace: str, volume: str, cannot: str, node: Node) -> tuple[Node, Dataset]:
    """Likewise on any machine, with that machine. Raises Refused `snapshot.missing`."""
    if there := await search(namespace, volume, node, partial(named, name, namespace, volume)):
        return there
    hint = f"ployzctl volume snapshots {namespace}/{volume}"
    raise Refused("snapshot.missing", cannot, f"{namespace}/{volume} has no snapshot that was named {name}", hint)


def require_name(name: str, what: str, cannot: str) -> None:
    """Raise Refused `name.invalid` for what cannot be the name of anything."""
    rule = "small letters, digits and `-` (never first or last), at most 40 of them"
    require(
        re.fullmatch(NAME, name), "name.invalid", cannot, f"{name!r} is no name of a {what}: {rule}", "another name"
    )


def commit(plan: About, says: str, node: Node) -> Commit:
    """The namespace's record, written again as this operation's."""
    return Commit(
        says,
        do=lambda: node.records.commit(plan.namespace, plan.after, plan.operation, plan.token),
        settle=lambda: node.records.settle(plan.namespace, plan.operation),
    )


def with_volume(record: Namespace, namespace: str, volume: Volume, by: By) -> Head:
    """The head with one more volume; the first of a namespace without services where there is none."""
    if record.head:
        return msgspec.structs.replace(record.head, volumes={**record.head.volumes, volume.name: volume})
    manifest = f'namespace = "{namespace}"\n\n[volumes.{volume.name}]\n'
    number = record.last_deploy + 1
    return Head(namespace, number, by.operation, by.at, by.who, manifest, {}, {volume.name: volume})


def taking_back(dataset: str, plan: About, node: Node) -> Step:
    """Destroy, after the commit, what this operation made only to work with."""
    kind = "snapshot" if "@" in dataset else "clone"
    removing = partial(take_back, dataset, plan.operation, node)
    return Step(f"remove the {kind} that was made for it", removing, machine=node.machine)


async def take_back(name: str, by: str, node: Node) -> None:
    """Undo the making of a dataset or snapshot. A stranger's in the way made the step fail, and is not ours to undo."""
    with suppress(NotOurs):
        await node.datasets.take_back(name, by)


def changed(plan: About, did: str, **more: object) -> VolumeChanged:
    """The result, of which `more` are the fields that say what was done."""
    told = {"namespace": plan.namespace, "name": plan.volume, "machine": plan.machine, "did": did, **more}
    return msgspec.convert(told, VolumeChanged)
