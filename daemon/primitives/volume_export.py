"""volume export: a client gets a volume as it is at one instant; what is made for it is gone in the end.

It changes nothing, so its commit writes no record: the commit is that the whole stream was sent, and whoever asks
later whether it happened is told that it did not, for a stream that was cut is nothing.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from daemon.node import Node
from daemon.primitive import By, Commit, Part, Step, Told, confirm
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
    head, volume = await found(ask.namespace, ask.volume, cannot, node)
    place = folder(ask.namespace, ask.volume, node)
    of = None if ask.snapshot else f"{place}/{volume.generation}"
    source = await node.datasets.look(of) if of else None
    if ask.snapshot:
        source = await require_named(ask.snapshot, ask.namespace, ask.volume, cannot, node)
    await require_room(node, cannot)
    return Plan(
        **about(ask.namespace, ask.volume, head, node, by),
        snapshot=source.name if ask.snapshot and source else f"{of}@{by.operation}",
        of=of,
        clone=f"{place}/{by.operation}" if ask.form == "tar" else None,
        name=ask.snapshot,
        bytes=source.refers if source else 0,
    )


def steps(plan: Plan, node: Node) -> Sequence[Part]:
    made = [name for name in (plan.clone, plan.snapshot if plan.of else None) if name]
    return [*_before(plan, node), Commit("all of it was sent", do=_nothing, settle=_cut), *_after(made, plan, node)]


def _before(plan: Plan, node: Node) -> list[Step]:
    by, marks = plan.operation, {"state": "candidate", "namespace": plan.namespace, "volume": plan.volume}
    parts = []
    if plan.of:
        snapshot = partial(node.datasets.snapshot, [plan.of], by, by)
        parts.append(Step(f"snapshot {plan.volume}", snapshot, partial(take_back, plan.snapshot, by, node)))
    if plan.clone:
        clone = partial(node.datasets.clone, plan.snapshot, plan.clone, by, marks, NO_LAYOUT)
        parts.append(Step("clone it, to read its files", clone, partial(take_back, plan.clone, by, node)))
        send = partial(node.streams.pack, plan.clone, by)
    else:
        send = partial(node.streams.send, plan.snapshot, by)
    return [*parts, Step(f"send {plan.volume} to whoever asked", send)]


def _after(made: Sequence[str], plan: Plan, node: Node) -> list[Step]:
    return [taking_back(name, plan, node) for name in made]


async def _nothing() -> None:
    """Nothing is written: the client has it."""


async def _cut() -> bool:
    """Between its last byte and its commit it was cut: the client is told that it was taken back."""
    return False


async def verify(plan: Plan, node: Node, told: Told) -> VolumeChanged:
    for name in (plan.clone, plan.snapshot if plan.of else None):
        confirm(not name or await node.datasets.look(name) is None, f"{name} is still there")
    return changed(plan, "export", snapshot=plan.name, bytes=plan.bytes)
