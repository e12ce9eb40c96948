"""volume import: a new volume is made of what a client sends, and only if all of it came."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from daemon.change import candidate_marks
from daemon.node import Node
from daemon.primitive import By, Part, Step, Told, confirm, require
from daemon.records import Volume
from daemon.seeing import require_room, require_takes
from daemon.volumes import (
    NO_LAYOUT,
    About,
    about,
    changed,
    commit,
    folder,
    require_name,
    take_back,
    with_volume,
)
from daemon.wire import VolumeChanged, VolumeImport

KIND = "volume"


class Plan(About, frozen=True, kw_only=True):
    """`dataset` is the generation to be made, with the marks that it is to have; `bytes` may come, if that is known."""

    dataset: str
    marks: dict[str, str]
    bytes: int | None = None


def claims(ask: VolumeImport) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "change"}


async def plan(ask: VolumeImport, node: Node, by: By) -> Plan:
    cannot = f"cannot import {ask.namespace}/{ask.volume}"
    require_name(ask.namespace, "namespace", cannot)
    require_name(ask.volume, "volume", cannot)
    record = await node.records.namespace(ask.namespace)
    there = record.head and ask.volume in record.head.volumes
    require(not there, "volume.exists", cannot, "there is a volume of this name already", "another name")
    require_takes((await node.members.machines())[node.machine], cannot)
    await require_room(node, cannot, ask.size or 0)
    volume = Volume(ask.volume, node.machine, by.operation, record.next_epoch(ask.volume))
    marks = candidate_marks(ask.namespace, volume)
    return Plan(
        **about(ask.namespace, ask.volume, with_volume(record, ask.namespace, volume, by), node, by),
        dataset=f"{folder(ask.namespace, ask.volume, node)}/{by.operation}",
        marks=marks,
        bytes=ask.size,
    )


def steps(plan: Plan, node: Node) -> Sequence[Part]:
    by = plan.operation
    return [
        Step(
            f"make {plan.volume} of what is sent",
            partial(node.streams.receive, plan.dataset, by, plan.marks, NO_LAYOUT),
            partial(_undo, plan, node),
            bytes=plan.bytes,
        ),
        commit(plan, f"commit the volume {plan.namespace}/{plan.volume}", node),
        Step(
            f"mark the new generation of {plan.volume} as current",
            partial(node.datasets.mark, plan.dataset, {"state": "current"}),
        ),
    ]


async def _undo(plan: Plan, node: Node) -> None:
    """What a ZFS stream brought has the snapshot that it was sent as, until it is taken over."""
    await take_back(f"{plan.dataset}@{plan.operation}", plan.operation, node)
    await take_back(plan.dataset, plan.operation, node)


async def verify(plan: Plan, node: Node, told: Told) -> VolumeChanged:
    there = await node.datasets.look(plan.dataset)
    state = there.marks.get("state") if there else "not there"
    confirm(state == "current", f"the generation {plan.dataset} is {state}")
    return changed(plan, "import", generation=plan.operation, bytes=there.refers if there else None)
