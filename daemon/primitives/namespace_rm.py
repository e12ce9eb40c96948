"""namespace rm: nothing of a namespace runs any more; its data is kept, as its last deploy point, or goes too."""

from collections.abc import Collection
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from daemon import changing
from daemon.change import Change
from daemon.lineage import held_by
from daemon.manifest import Manifest
from daemon.node import Node
from daemon.planning import Wanted, plan_change
from daemon.primitive import By, Part, Told, confirm, require
from daemon.records import Head
from daemon.seeing import bytes_by_volume, see
from daemon.wire import NamespaceRemoved, NamespaceRm, RemovedVolume

KIND = "removed"


class Plan(Struct, frozen=True):
    """The way to a namespace that stands on nothing; `bytes` is what each volume's datasets held alone."""

    change: Change
    bytes: dict[str, int]
    warnings: tuple[str, ...] = ()


def claims(ask: NamespaceRm) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "change"}


async def plan(ask: NamespaceRm, node: Node, by: By) -> Plan:
    """Also of what was removed before, where its data is to go: then only the data is left to do something about."""
    record = await node.records.namespace(ask.namespace)
    points = [point.head.deploy for point in await node.records.points(ask.namespace)]
    held = await bytes_by_volume(node, ask.namespace)
    what, why = f"cannot remove {ask.namespace}", f"there is no namespace {ask.namespace}"
    require(record.head or (ask.purge and (points or held)), "namespace.missing", what, why, "ployzctl namespace ls")
    nothing = Wanted(Manifest(ask.namespace), "", {}, {}, prune_volumes=True)
    change = plan_change(record, nothing, await see(node), by)
    last = record.last_deploy
    change = replace(
        change,
        after=Head(ask.namespace, last, by.operation, by.at, by.who, "", {}, {}),
        removes=True,
        purges=ask.purge,
        dooms=await _doomed(ask.namespace, node) if ask.purge else (),
        forgets=tuple(sorted({*points, *((last,) if record.head else ())})) if ask.purge else (),
        warnings=(),
    )
    return Plan(change, held)


async def _doomed(namespace: str, node: Node) -> tuple[str, ...]:
    """Chosen beforehand: once a clone is gone, nothing tells which snapshot it came from."""
    root = node.datasets.root
    return tuple(sorted(held_by(await node.datasets.below(root), f"{root}/{namespace}")))


def steps(plan: Plan, node: Node) -> list[Part]:
    return changing.steps(plan.change, node)


async def verify(plan: Plan, node: Node, told: Told) -> NamespaceRemoved:
    change, namespace = plan.change, plan.change.after.namespace
    await changing.confirm_instances(change, node)
    differs = await node.serving.agrees(change.after)
    confirm(not differs, differs)
    left = {dataset.name: dataset for dataset in await node.datasets.below(f"{node.datasets.root}/{namespace}")}
    for name in change.drops:
        confirm(name not in left or left[name].marks.get("state") == "kept", f"the generation {name} is not kept")
    return NamespaceRemoved(
        namespace=namespace,
        deploy=change.after.deploy,
        instances=[old.id for old in change.goes],
        volumes=[_volume(name, plan, left) for name in sorted(plan.bytes)],
        routes=sorted(name.what for name in change.releases if name.kind == "hostname"),
    )


def _volume(name: str, plan: Plan, left: Collection[str]) -> RemovedVolume:
    there = f"{plan.change.root}/{plan.change.after.namespace}/{name}" in left
    return RemovedVolume(name, "kept" if there else "purged", plan.bytes[name])
