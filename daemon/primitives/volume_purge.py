"""volume purge: a named snapshot, or a generation that is kept, is destroyed; nothing that is needed ever is."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from daemon.node import Node
from daemon.primitive import By, Part, Step, Told, confirm, require
from daemon.records import Head
from daemon.volumes import About, Dataset, about, changed, commit, folder, needs, require_named
from daemon.wire import Refused, VolumeChanged, VolumePurge

KIND = "volume"


class Plan(About, frozen=True, kw_only=True):
    """`target` is destroyed by its full name; `promotes` came from its snapshots, and owns those afterwards."""

    target: str
    guid: str
    name: str | None
    what: str
    bytes: int
    promotes: tuple[str, ...] = ()


def claims(ask: VolumePurge) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "change"}


async def plan(ask: VolumePurge, node: Node, by: By) -> Plan:
    what = f"{ask.namespace}/{ask.volume}" + (f"@{ask.snapshot}" if ask.snapshot else f", kept generation {ask.kept}")
    cannot = f"cannot purge {what}"
    one = bool(ask.snapshot) != bool(ask.kept)
    hint = f"ployzctl volume purge {ask.namespace}/{ask.volume}@SNAPSHOT, or --kept GENERATION"
    require(one, "purge.what", cannot, "exactly one snapshot, or one kept generation, is to be named", hint)
    head = (await node.records.namespace(ask.namespace)).head
    below = await node.datasets.below(node.datasets.root)
    points = needs.by_points(await node.records.points(ask.namespace))
    if ask.snapshot:
        target = await require_named(ask.snapshot, ask.namespace, ask.volume, cannot, node)
        others = [who for who in needs.of_snapshot(target, points, below) if who != f"the name {ask.snapshot}"]
    else:
        target = _kept(ask, head, below, node, cannot)
        others = needs.of_generation(target.name, points, below)
    hint = f"ployzctl volume snapshots {ask.namespace}/{ask.volume}"
    require(not others, "purge.needed", cannot, f"it is needed: {', '.join(others)}", hint)
    return Plan(
        **about(ask.namespace, ask.volume, head, node, by),
        target=target.name,
        guid=target.guid,
        name=ask.snapshot,
        what=what,
        bytes=target.alone if ask.snapshot else target.used,
        promotes=tuple(one.name for one in needs.dependants(target.name, below)),
    )


def _kept(ask: VolumePurge, head: Head | None, below: Sequence[Dataset], node: Node, cannot: str) -> Dataset:
    name = f"{folder(ask.namespace, ask.volume, node)}/{ask.kept}"
    heads = {ask.namespace: head} if head else {}
    for one in needs.kept(node.datasets.root, heads, below):
        if one.name == name:
            return one
    why = f"{ask.namespace}/{ask.volume} keeps no generation {ask.kept}"
    raise Refused("generation.missing", cannot, why, f"ployzctl volume ls {ask.namespace} --kept")


def steps(plan: Plan, node: Node) -> Sequence[Part]:
    inherited = [_promote(plan, heir, node) for heir in plan.promotes]
    return [
        commit(plan, f"commit the purge of {plan.what}", node),
        *inherited,
        Step(f"destroy {plan.what}", partial(_destroy, plan, node)),
    ]


def _promote(plan: Plan, heir: str, node: Node) -> Step:
    """A clone owns what it came from before that is destroyed; it may do so already, or be gone."""

    async def do() -> None:
        there = await node.datasets.look(heir)
        if there and there.origin and there.origin.startswith(f"{plan.target}@"):
            await node.datasets.promote(heir)

    return Step(f"let {'/'.join(heir.split('/')[-3:])} own the snapshots that it came from", do)


async def _destroy(plan: Plan, node: Node) -> None:
    """Its own snapshots first, one by one. By guid: what has its name later is not what was purged."""
    there = await node.datasets.look(plan.target)
    if there is None or there.guid != plan.guid:
        return
    if "@" not in plan.target:
        for one in needs.snapshots(plan.target, await node.datasets.below(plan.target)):
            await node.datasets.destroy(one.name)
    await node.datasets.destroy(plan.target)


async def verify(plan: Plan, node: Node, told: Told) -> VolumeChanged:
    there = await node.datasets.look(plan.target)
    confirm(there is None or there.guid != plan.guid, f"{plan.target} is still there")
    generation = plan.target.rpartition("/")[2].partition("@")[0]
    return changed(plan, "purge", generation=generation, snapshot=plan.name, guid=plan.guid, bytes=plan.bytes)
