"""volume export: a client gets a volume as it is at one instant; what is made for it is gone in the end.

It changes nothing, so its commit writes no record: the commit is that the whole stream was sent, and whoever asks
later whether it happened is told that it did not, for a stream that was cut is nothing.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from daemon.node import Node
from daemon.primitive import By, Part, Step, Told, confirm, unrecorded
from daemon.seeing import require_room
from daemon.volumes import NO_LAYOUT, About, about, changed, folder, found, require_named, take_back, taking_back
from daemon.wire import VolumeChanged, VolumeExport

KIND = "volume"


class Plan(About, frozen=True, kw_only=True):
    """`of` is snapshotted where no named `snapshot` is exported; for a tar, `clone` is what the files are read from."""

    snapshot: str
    of: str | None
    clone: str | None
    name: str | None
    bytes: int


def claims(ask: VolumeExport) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "read"}


async def plan(ask: VolumeExport, node: Node, by: By) -> Plan:
    cannot = f"cannot export {ask.namespace}/{ask.volume}" + (f"@{ask.snapshot}" if ask.snapshot else "")
    head, of = None, None
    if ask.snapshot:
        there, source = await require_named(ask.snapshot, ask.namespace, ask.volume, cannot, node)
        snapshot, bytes = source.name, source.refers
    else:
        head, _, there = await found(ask.namespace, ask.volume, cannot, node)
        of = head.dataset(ask.volume, there.datasets.root)
        now = await there.datasets.look(of)
        snapshot, bytes = f"{of}@{by.operation}", now.refers if now else 0
    place = folder(ask.namespace, ask.volume, there)
    await require_room(there, cannot)
    return Plan(
        **about(ask.namespace, ask.volume, head, there, by),
        snapshot=snapshot,
        of=of,
        clone=f"{place}/{by.operation}" if ask.form == "tar" else None,
        name=ask.snapshot,
        bytes=bytes,
    )


def steps(plan: Plan, node: Node) -> Sequence[Part]:
    node, made = node.at(plan.machine), [name for name in (plan.clone, plan.snapshot if plan.of else None) if name]
    return [*_before(plan, node), unrecorded("all of it was sent"), *_after(made, plan, node)]


def _before(plan: Plan, node: Node) -> list[Step]:
    by, marks = plan.operation, {"state": "candidate", "namespace": plan.namespace, "volume": plan.volume}
    parts = []
    if plan.of:
        snapshot = partial(node.datasets.snapshot, [plan.of], by, by)
        undo = partial(take_back, plan.snapshot, by, node)
        parts.append(Step(f"snapshot {plan.volume}", snapshot, undo, machine=plan.machine))
    if plan.clone:
        clone = partial(node.datasets.clone, plan.snapshot, plan.clone, by, marks, NO_LAYOUT)
        undo = partial(take_back, plan.clone, by, node)
        parts.append(Step("clone it, to read its files", clone, undo, bytes=0, machine=plan.machine))
        send = partial(node.streams.pack, plan.clone, by)
    else:
        send = partial(node.streams.send, plan.snapshot, by)
    return [*parts, Step(f"send {plan.volume} to whoever asked", send, bytes=plan.bytes, machine=plan.machine)]


def _after(made: Sequence[str], plan: Plan, node: Node) -> list[Step]:
    return [taking_back(name, plan, node) for name in made]


async def verify(plan: Plan, node: Node, told: Told) -> VolumeChanged:
    for name in (plan.clone, plan.snapshot if plan.of else None):
        confirm(not name or await node.at(plan.machine).datasets.look(name) is None, f"{name} is still there")
    return changed(plan, "export", snapshot=plan.name, bytes=plan.bytes)
