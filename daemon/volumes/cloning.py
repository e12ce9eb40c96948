"""A new volume that begins as a snapshot of another one: what forking a volume and restoring one have in common."""

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from daemon.change import candidate_marks
from daemon.changing.data import free_unneeded, is_first
from daemon.node import Node
from daemon.primitive import By, Part, Step, Told, confirm, require
from daemon.records import Volume
from daemon.seeing import require_room, require_takes
from daemon.volumes import About, about, changed, commit, folder, require_name, take_back, with_volume
from daemon.wire import VolumeChanged
from dataplane.dataset import Layout


class Clone(About, frozen=True, kw_only=True):
    """`dataset` is the generation to be made, a clone of the snapshot `source`, which is `taken` for it, or there."""

    source: str
    taken: bool
    dataset: str
    layout: Layout
    marks: dict[str, str]


async def plan_clone(source: str, volume: Volume, namespace: str, node: Node, by: By) -> Clone:
    """A volume like `volume` (of which only name and layout count) in the namespace, from the snapshot `source`, on the
    machine `node`, which has that.

    Raises Refused `name.invalid`, `volume.exists`, `machine.draining`, `pool.full`.
    """
    cannot = f"cannot make {namespace}/{volume.name} of {'/'.join(source.split('/')[-3:-1])}"
    require_name(namespace, "namespace", cannot)
    require_name(volume.name, "volume", cannot)
    record = await node.records.namespace(namespace)
    there = record.head and volume.name in record.head.volumes
    require(not there, "volume.exists", cannot, "there is a volume of this name already", "another name")
    require_takes((await node.members.machines())[node.machine], cannot)
    await require_room(node, cannot, volume.quota or 0)
    epoch = record.next_epoch(volume.name)
    volume = replace(volume, machine=node.machine, generation=by.operation, epoch=epoch)
    return Clone(
        **about(namespace, volume.name, with_volume(record, namespace, volume, by), node, by),
        source=source,
        taken=source.endswith(f"@{by.operation}"),
        dataset=f"{folder(namespace, volume.name, node)}/{by.operation}",
        layout=Layout(volume.quota, volume.owner, volume.mode),
        marks=candidate_marks(namespace, volume),
    )


def steps(plan: Clone, node: Node) -> Sequence[Part]:
    """The snapshot where it is not there yet, its clone, and the commit that gives it its name."""
    by, (dataset, _, snapshot) = plan.operation, plan.source.partition("@")
    there, machine = node.at(plan.machine), plan.machine
    taking = Step(
        f"snapshot {'/'.join(dataset.split('/')[-3:-1])}",
        partial(there.datasets.snapshot, [dataset], snapshot, by),
        partial(take_back, plan.source, by, there),
        machine=machine,
    )
    says = f"let the new generation of {plan.volume} own its snapshots, and free what nobody needs any more"
    owning = Step(says, partial(free_unneeded, plan.namespace, there), machine=machine)
    return [
        *([taking] if plan.taken else []),
        Step(
            f"clone {plan.namespace}/{plan.volume} from it",
            partial(there.datasets.clone, plan.source, plan.dataset, by, plan.marks, plan.layout),
            partial(take_back, plan.dataset, by, there),
            bytes=0,
            machine=machine,
        ),
        commit(plan, f"commit the volume {plan.namespace}/{plan.volume}", node),
        Step(
            f"mark the new generation of {plan.volume} as current",
            partial(there.datasets.mark, plan.dataset, {"state": "current"}),
            machine=machine,
        ),
        *([] if is_first(plan.marks) else [owning]),
    ]


async def verify(plan: Clone, node: Node, told: Told) -> VolumeChanged:
    there = await node.at(plan.machine).datasets.look(plan.dataset)
    state = there.marks.get("state") if there else "not there"
    confirm(state == "current", f"the generation {plan.dataset} is {state}")
    return changed(plan, "clone", generation=plan.operation, bytes=there.refers if there else None)
