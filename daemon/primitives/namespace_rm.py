"""namespace rm: nothing of a namespace runs any more; its data is kept, as its last deploy point, or goes too."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from daemon import changing
from daemon.change import Change
from daemon.lineage import held_by
from daemon.manifest import Manifest
from daemon.node import Node
from daemon.planning import Wanted, plan_change
from daemon.planning.secrets import newest
from daemon.primitive import By, Part, Told, confirm
from daemon.records import DeployPoint, Head, Namespace, Newest
from daemon.seeing import bytes_by_volume, missing, see
from daemon.wire import NamespaceRemoved, NamespaceRm, Refused, RemovedVolume

KIND = "removed"


class Plan(Struct, frozen=True):
    """The way to a namespace that stands on nothing; `bytes` is what each volume's datasets held alone."""

    change: Change
    bytes: dict[str, int]
    warnings: tuple[str, ...] = ()


def claims(ask: NamespaceRm) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "change"}


async def plan(ask: NamespaceRm, node: Node, by: By) -> Plan:
    """Also of what was removed before, or never deployed, where what is kept of it is to go: then only that does."""
    record = await node.records.namespace(ask.namespace)
    points = await node.records.points(ask.namespace)
    seen = await see(node)
    there = sorted(seen.machines.keys() - seen.away.keys())
    held = {machine: await bytes_by_volume(node.at(machine), ask.namespace) for machine in there}
    left = points or any(held.values()) or newest(record)
    if not record.head and not (ask.purge and left):
        raise await missing(node, ask.namespace, f"cannot remove {ask.namespace}")
    nothing = Wanted(Manifest(ask.namespace), "", {}, {}, prune_volumes=True)
    change = plan_change(record, nothing, seen, by)
    last = record.last_deploy
    change = replace(
        change,
        after=Head(ask.namespace, last, by.operation, by.at, by.who, "", {}, {}),
        removes=True,
        purges=ask.purge,
        snapshot=() if ask.purge else change.snapshot,
        frees={machine: sum(bytes.values()) for machine, bytes in held.items()} if ask.purge else {},
        dooms={machine: await _doomed(ask.namespace, node.at(machine)) for machine in there} if ask.purge else {},
        forgets=_forgets(record, points) if ask.purge else (),
        warnings=(),
        secrets={name: Newest(version, removed=True) for name, version in newest(record).items()} if ask.purge else {},
        tidies=tuple(sorted(record.secrets)) if ask.purge else (),
    )
    if ask.purge:
        _require_all(ask.namespace, [point.head for point in points], seen.away)
    return Plan(change, _summed(held.values()))


def _forgets(record: Namespace, points: Iterable[DeployPoint]) -> tuple[int, ...]:
    present = {record.last_deploy} if record.head else set()
    return tuple(sorted(present | {point.head.deploy for point in points}))


def _require_all(namespace: str, heads: Iterable[Head], away: Mapping[str, str]) -> None:
    """What was kept on a machine that does not answer cannot be purged."""
    for machine in sorted({volume.machine for head in heads for volume in head.volumes.values()} & away.keys()):
        why = f"data of it is kept on {machine}, which does not answer: {away[machine]}"
        raise Refused("machine.unreachable", f"cannot purge {namespace}", why, "ployzctl machine ls")


def _summed(held: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total = Counter[str]()
    for of_machine in held:
        total.update(of_machine)
    return dict(total)


async def _doomed(namespace: str, node: Node) -> tuple[str, ...]:
    """Chosen beforehand: once a clone is gone, nothing tells which snapshot it came from. For each machine alone: what
    a promotion gave to this namespace here may be another one's copy there."""
    root = node.datasets.root
    return tuple(sorted(held_by(await node.datasets.below(root), f"{root}/{namespace}")))


def steps(plan: Plan, node: Node) -> list[Part]:
    return changing.steps(plan.change, node)


async def verify(plan: Plan, node: Node, told: Told) -> NamespaceRemoved:
    change, namespace = plan.change, plan.change.after.namespace
    await changing.confirm_instances(change, node)
    await changing.confirm_secrets(change, node)
    await changing.confirm_served(change, node)
    there = [node.at(machine).datasets for machine in change.serves]
    left = {dataset.name: dataset for on in there for dataset in await on.below(f"{on.root}/{namespace}")}
    for name in (dropped.dataset for dropped in change.drops):
        confirm(name not in left or left[name].marks.get("state") == "kept", f"the generation {name} is not kept")
    for name in change.tidies:
        confirm(not await node.records.versions(namespace, name), f"versions of the secret {name} are still there")
    return NamespaceRemoved(
        namespace=namespace,
        deploy=change.after.deploy,
        instances=[old.id for old in change.goes],
        volumes=[_volume(name, plan, left) for name in sorted(plan.bytes)],
        routes=sorted(name.what for name in change.releases if name.kind == "hostname"),
    )


def _volume(name: str, plan: Plan, left: Collection[str]) -> RemovedVolume:
    there = any(dataset.endswith(f"/{plan.change.after.namespace}/{name}") for dataset in left)
    return RemovedVolume(name, "kept" if there else "purged", plan.bytes[name])
