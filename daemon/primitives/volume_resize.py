"""volume resize: how many bytes a volume may hold, from now on."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

import msgspec

from daemon.manifest import parse
from daemon.node import Node
from daemon.primitive import By, Part, Step, Told, confirm, require
from daemon.records import Head
from daemon.seeing import require_room
from daemon.units import rounded, write_size
from daemon.volumes import About, about, changed, commit, found
from daemon.wire import VolumeChanged, VolumeResize

KIND = "volume"


class Plan(About, frozen=True, kw_only=True):
    dataset: str
    quota: int
    before: int | None


def claims(ask: VolumeResize) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "change"}


async def plan(ask: VolumeResize, node: Node, by: By) -> Plan:
    name = f"{ask.namespace}/{ask.volume}"
    cannot = f"cannot resize {name} to {write_size(ask.quota)}"
    head, volume, there = await found(ask.namespace, ask.volume, cannot, node)
    dataset = head.dataset(ask.volume, there.datasets.root)
    now = await there.datasets.look(dataset)
    refers = now.refers if now else 0
    require(ask.quota > refers, "volume.too_small", cannot, f"{rounded(refers)} are in it", "more than that")
    if volume.quota is None or ask.quota > volume.quota:
        await require_room(there, cannot)
    resized = msgspec.structs.replace(volume, quota=ask.quota)
    after = msgspec.structs.replace(head, volumes={**head.volumes, ask.volume: resized})
    common = about(ask.namespace, ask.volume, after, there, by)
    warnings = tuple(_warnings(head, ask))
    return Plan(**common, warnings=warnings, dataset=dataset, quota=ask.quota, before=volume.quota)


def _warnings(head: Head, ask: VolumeResize) -> Iterator[str]:
    """A deploy that makes a new generation gives it the quota of its manifest."""
    declared = parse(head.manifest).volumes.get(ask.volume)
    if declared and declared.quota != ask.quota:
        says = write_size(declared.quota) if declared.quota else "no quota"
        yield (
            f"the manifest of {ask.namespace} says {says} for {ask.volume}, and the next deploy that replaces "
            f'its service goes by that: write quota = "{write_size(ask.quota)}" there'
        )


def steps(plan: Plan, node: Node) -> Sequence[Part]:
    if plan.quota == plan.before:
        return []
    there = node.at(plan.machine)
    return [
        Step(
            f"limit {plan.volume} to {write_size(plan.quota)}",
            partial(there.datasets.limit, plan.dataset, plan.quota),
            partial(there.datasets.limit, plan.dataset, plan.before),
            machine=plan.machine,
        ),
        commit(plan, f"commit the size of {plan.namespace}/{plan.volume}", node),
    ]


async def verify(plan: Plan, node: Node, told: Told) -> VolumeChanged:
    there = await node.at(plan.machine).datasets.look(plan.dataset)
    confirm(there, f"the generation {plan.dataset} is not there")
    return changed(plan, "resize", quota=plan.quota, bytes=there.refers if there else None)
