"""volume snapshot: a volume as it is now gets a name, and stays so until it is purged."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from daemon.node import Node
from daemon.primitive import By, Part, Step, Told, confirm, require
from daemon.seeing import require_room
from daemon.volumes import About, about, changed, commit, found, named, require_name, take_back
from daemon.wire import VolumeChanged, VolumeSnapshot

KIND = "volume"


class Plan(About, frozen=True, kw_only=True):
    """`snapshot` is the full name that ZFS gives it; people call it `name`."""

    name: str
    snapshot: str


def claims(ask: VolumeSnapshot) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "change"}


async def plan(ask: VolumeSnapshot, node: Node, by: By) -> Plan:
    cannot = f"cannot snapshot {ask.namespace}/{ask.volume} as {ask.name}"
    require_name(ask.name, "snapshot", cannot)
    head, _, there = await found(ask.namespace, ask.volume, cannot, node)
    taken = await named(ask.name, ask.namespace, ask.volume, there)
    require(not taken, "snapshot.exists", cannot, "there is a snapshot of this name already", "another name")
    await require_room(there, cannot)
    snapshot = f"{head.dataset(ask.volume, there.datasets.root)}@{by.operation}"
    return Plan(**about(ask.namespace, ask.volume, head, there, by), name=ask.name, snapshot=snapshot)


def steps(plan: Plan, node: Node) -> Sequence[Part]:
    dataset, by, there = plan.snapshot.partition("@")[0], plan.operation, node.at(plan.machine)
    marks = {"name": plan.name, "namespace": plan.namespace, "volume": plan.volume}
    return [
        Step(
            f"snapshot {plan.volume}",
            partial(there.datasets.snapshot, [dataset], by, by),
            partial(take_back, plan.snapshot, by, there),
            machine=plan.machine,
        ),
        Step(f"name it {plan.name}", partial(there.datasets.mark, plan.snapshot, marks), machine=plan.machine),
        commit(plan, f"commit the snapshot {plan.name} of {plan.namespace}/{plan.volume}", node),
    ]


async def verify(plan: Plan, node: Node, told: Told) -> VolumeChanged:
    there = await node.at(plan.machine).datasets.look(plan.snapshot)
    confirm(there and there.marks.get("name") == plan.name, f"the snapshot {plan.name} is not there")
    assert there
    return changed(plan, "snapshot", snapshot=plan.name, guid=there.guid, bytes=there.refers)
