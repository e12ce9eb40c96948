"""volume purge: a named snapshot, a generation that is kept, or a copy is destroyed; nothing that is needed ever is."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

from daemon import lineage
from daemon.changing.data import free_unneeded
from daemon.lineage import COPY, free, volume_of
from daemon.node import Node
from daemon.primitive import By, Part, Step, Told, confirm, require
from daemon.records import Head
from daemon.seeing import points_of_all
from daemon.volumes import About, Dataset, about, changed, commit, copies, folder, needs, require_named, search
from daemon.volumes.needs import Along
from daemon.wire import Refused, VolumeChanged, VolumePurge

KIND = "volume"


class Plan(About, frozen=True, kw_only=True):
    """`target` is destroyed by its full name; `promotes` came from its snapshots, and owns those afterwards. What the
    machine `base` has kept for it alone goes too: `bases`, by guid."""

    target: str
    guid: str
    name: str | None
    what: str
    bytes: int
    promotes: tuple[str, ...] = ()
    base: str = ""
    bases: tuple[str, ...] = ()


def claims(ask: VolumePurge) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "change"}


async def plan(ask: VolumePurge, node: Node, by: By) -> Plan:
    cannot = f"cannot purge {_what(ask)}"
    one = len([given for given in (ask.snapshot, ask.kept, ask.copy) if given]) == 1
    hint = f"ployzctl volume purge {ask.namespace}/{ask.volume}@SNAPSHOT, or --kept GENERATION, or --copy MACHINE"
    require(one, "purge.what", cannot, "exactly one snapshot, kept generation or copy is to be named", hint)
    head = (await node.records.namespace(ask.namespace)).head
    there, target = await _found(ask, head, cannot, node)
    below, gone = await there.datasets.below(there.datasets.root), await _gone(ask, head, there.machine, node)
    volume = head.volumes.get(ask.volume) if head and ask.copy else None
    pools = await _pools(node, volume.machine if volume else "")
    points = needs.by_points(await points_of_all(node), gone)
    needed = needs.merged(points, copies.needed(there.machine, [head] if head else [], pools))
    if ask.snapshot:
        others = [
            who for who in needs.of_snapshot(target, needed, below, (), gone) if who != f"the name {ask.snapshot}"
        ]
    else:
        others = needs.of_generation(target.name, needed, below, (), gone)
    hint = f"ployzctl volume snapshots {ask.namespace}/{ask.volume}"
    require(not others, "purge.needed", cannot, f"it is needed: {', '.join(others)}", hint)
    return Plan(
        **about(ask.namespace, ask.volume, head, there, by),
        target=target.name,
        guid=target.guid,
        name=ask.snapshot,
        what=_what(ask),
        bytes=target.alone if ask.snapshot else target.used,
        promotes=tuple(one.name for one in needs.dependants(target.name, below)),
        base=volume.machine if volume else "",
        bases=tuple(sorted(_bases(ask, volume.machine, pools, node))) if volume else (),
    )


def _bases(ask: VolumePurge, machine: str, pools: Mapping[str, Sequence[Dataset]], node: Node) -> set[str]:
    """The guids of what a machine keeps of the volume for a copy, and for nobody else who answers."""
    bases = lineage.bases(pools.get(machine, ()), [folder(ask.namespace, ask.volume, node.at(machine))])
    has = {name: {one.guid for one in pool if "@" in one.name} for name, pool in pools.items() if name != machine}
    copied = has.pop(ask.copy or "", set())
    return {one.guid for one in bases if one.guid in copied} - lineage.in_common(bases, has.values())


def _what(ask: VolumePurge) -> str:
    called = f"@{ask.snapshot}" if ask.snapshot else f", kept generation {ask.kept}" if ask.kept else ""
    return f"{ask.namespace}/{ask.volume}{called}" + (f", copy on {ask.copy}" if ask.copy else "")


async def _pools(node: Node, source: str) -> dict[str, list[Dataset]]:
    """What machines have, for the sake of copies. Those that do not answer are left out: all that a copy there would
    miss is a beginning, so the next one is sent whole. But as long as the `source` of a copy does not, that copy is all
    that there is. Raises Refused `machine.unreachable`."""
    pools = {}
    for name in await node.members.machines():
        try:
            pools[name] = await node.at(name).datasets.below(node.at(name).datasets.root)
        except Refused:
            if name == source:
                raise
    return pools


async def _gone(ask: VolumePurge, head: Head | None, machine: str, node: Node) -> Along:
    """What the volume has with it, if it was moved off that machine. Raises Refused `machine.unreachable`."""
    if not (to := needs.moved_to(head, ask.volume, machine)):
        return needs.NOTHING
    now = node.at(to).datasets
    return needs.along(ask.namespace, ask.volume, await now.below(now.root))


async def _found(ask: VolumePurge, head: Head | None, cannot: str, node: Node) -> tuple[Node, Dataset]:
    """What is to go, with the machine that has it. Raises Refused `snapshot.missing`, `generation.missing`,
    `copy.missing`."""
    if ask.snapshot:
        return await require_named(ask.snapshot, ask.namespace, ask.volume, cannot, node)
    if ask.copy:
        return await _copy(ask, cannot, node)
    if found := await search(ask.namespace, ask.volume, node, partial(_kept, ask, head)):
        return found
    why = f"{ask.namespace}/{ask.volume} keeps no generation {ask.kept}"
    raise Refused("generation.missing", cannot, why, f"ployzctl volume ls {ask.namespace} --kept")


async def _copy(ask: VolumePurge, cannot: str, node: Node) -> tuple[Node, Dataset]:
    if ask.copy and ask.copy in await node.members.machines():
        there = node.at(ask.copy)
        for one in await there.datasets.below(folder(ask.namespace, ask.volume, there)):
            if "@" not in one.name and one.marks.get("state") == COPY:
                return there, one
    why, hint = f"{ask.copy} has no copy of {ask.namespace}/{ask.volume}", f"ployzctl volume ls {ask.namespace}"
    raise Refused("copy.missing", cannot, why, hint)


async def _kept(ask: VolumePurge, head: Head | None, node: Node) -> Dataset | None:
    name, heads = f"{folder(ask.namespace, ask.volume, node)}/{ask.kept}", {ask.namespace: head} if head else {}
    kept = needs.kept(node.datasets.root, heads, await node.datasets.below(node.datasets.root))
    return next((one for one in kept if one.name == name), None)


def steps(plan: Plan, node: Node) -> Sequence[Part]:
    at, node = node.at, node.at(plan.machine)
    inherited = [_promote(plan, heir, node) for heir in plan.promotes]
    return [
        commit(plan, f"commit the purge of {plan.what}", node),
        *inherited,
        Step(f"destroy {plan.what}", partial(_destroy, plan, node), bytes=plan.bytes, machine=plan.machine),
        *([_forget(plan, at(plan.base))] if plan.bases else []),
    ]


def _forget(plan: Plan, node: Node) -> Step:
    freeing = partial(free, node.datasets, [f"{node.datasets.root}/{plan.namespace}"], plan.bases)
    return Step(f"free what {plan.volume} was to be copied from", freeing, machine=node.machine)


def _promote(plan: Plan, heir: str, node: Node) -> Step:
    """A clone owns what it came from before that is destroyed; it may do so already, or be gone."""

    async def do() -> None:
        there = await node.datasets.look(heir)
        if there and there.origin and there.origin.startswith(f"{plan.target}@"):
            await node.datasets.promote(heir)

    return Step(f"let {'/'.join(heir.split('/')[-3:])} own the snapshots that it came from", do, machine=plan.machine)


async def _destroy(plan: Plan, node: Node) -> None:
    """Its own snapshots first, one by one. By guid: what has its name later is not what was purged.

    A kept generation of which a snapshot was all goes with it, and a folder of which a generation was.
    """
    there = await node.datasets.look(plan.target)
    if there is not None and there.guid == plan.guid:
        if "@" not in plan.target:
            for one in needs.snapshots(plan.target, await node.datasets.below(plan.target)):
                await node.datasets.destroy(one.name)
        await node.datasets.destroy(plan.target)
    await free_unneeded(plan.namespace, node)
    await free(node.datasets, [volume_of(volume_of(plan.target))], ())


async def verify(plan: Plan, node: Node, told: Told) -> VolumeChanged:
    there = await node.at(plan.machine).datasets.look(plan.target)
    confirm(there is None or there.guid != plan.guid, f"{plan.target} is still there")
    generation = plan.target.rpartition("/")[2].partition("@")[0]
    return changed(plan, "purge", generation=generation, snapshot=plan.name, guid=plan.guid, bytes=plan.bytes)
