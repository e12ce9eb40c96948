"""A new volume that begins as a snapshot of another one: what forking a volume and restoring one have in common."""

from collections.abc import Sequence
from functools import partial

from daemon.node import Node
from daemon.primitive import By, Part, Step, Told, confirm, require
from daemon.records import Volume
from daemon.seeing import require_room
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
    """A volume like `volume` (of which only name and layout count) in the namespace, from the snapshot `source`.

    Raises Refused `name.invalid`, `volume.exists`, `pool.full`.
    """
    cannot = f"cannot make {namespace}/{volume.name} of {source.rpartition('/')[0].rpartition('/')[2]}"
    require_name(namespace, "namespace", cannot)
    require_name(volume.name, "volume", cannot)
    record = await node.records.namespace(namespace)
    there = record.head and volume.name in record.head.volumes
    require(not there, "volume.exists", cannot, "there is a volume of this name already", "another name")
    await require_room(node, cannot, volume.quota or 0)
    marks = {"namespace": namespace, "volume": volume.name, "epoch": "1", "state": "candidate"}
    return Clone(
        **about(namespace, volume.name, with_volume(record, namespace, volume, by), node, by),
        source=source,
        taken=source.endswith(f"@{by.operation}"),
        dataset=f"{folder(namespace, volume.name, node)}/{by.operation}",
        layout=Layout(volume.quota, volume.owner, volume.mode),
        marks=marks,
    )


def steps(plan: Clone, node: Node) -> Sequence[Part]:
    """The snapshot where it is not there yet, its clone, and the commit that gives it its name."""
    by, (dataset, _, snapshot) = plan.operation, plan.source.partition("@")
    taking = Step(
        f"snapshot {'/'.join(dataset.split('/')[-3:-1])}",
        partial(node.datasets.snapshot, [dataset], snapshot, by),
        partial(take_back, plan.source, by, node),
    )
    return [
        *([taking] if plan.taken else []),
        Step(
            f"clone {plan.namespace}/{plan.volume} from it",
            partial(node.datasets.clone, plan.source, plan.dataset, by, plan.marks, plan.layout),
            partial(take_back, plan.dataset, by, node),
        ),
        commit(plan, f"commit the volume {plan.namespace}/{plan.volume}", node),
        Step(
            f"mark the new generation of {plan.volume} as current",
            partial(node.datasets.mark, plan.dataset, {"state": "current"}),
        ),
    ]


async def verify(plan: Clone, node: Node, told: Told) -> VolumeChanged:
    there = await node.datasets.look(plan.dataset)
    state = there.marks.get("state") if there else "not there"
    confirm(state == "current", f"the generation {plan.dataset} is {state}")
    return changed(plan, "clone", generation=plan.operation, bytes=there.refers if there else None)
