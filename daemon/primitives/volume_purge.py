"""volume purge: a named snapshot, a generation that is kept, or a copy is destroyed; nothing that is needed ever is."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

from msgspec import Struct

from daemon import lineage
from daemon.belonging import unless_lost
from daemon.changing.data import free_unneeded
from daemon.lineage import COPY, free, volume_of
from daemon.node import Node
from daemon.primitive import By, Part, Step, Told, confirm, require
from daemon.records import Head
from daemon.seeing import points_of_all
from daemon.volumes import (
    About,
    Dataset,
    about,
    changed,
    commit,
    copies,
    folder,
    named,
    needs,
    require_named,
    search,
    searched,
)
from daemon.volumes.needs import Along
from daemon.wire import Refused, VolumeChanged, VolumePurge

KIND = "volume"
Found = tuple[Node, Dataset]
"""A dataset, with the machine that has it."""


class Doomed(Struct, frozen=True):
    """A snapshot or generation on a machine, by its full name, and what its end gives back. What has its name later has
    another guid."""

    machine: str
    target: str
    guid: str
    bytes: int


class Plan(About, frozen=True, kw_only=True):
    """All that are `doomed` are destroyed: a named snapshot is where its volume is, was, and has copies. `promotes`
    came from the snapshots of a generation, and owns those afterwards. What the machine `base` has kept for a copy
    alone goes too: `bases`, by guid."""

    doomed: tuple[Doomed, ...]
    name: str | None
    what: str
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
    found, silent = await _found(ask, head, cannot, node)
    volume = head.volumes.get(ask.volume) if head and ask.copy else None
    pools = await _pools(node, volume.machine if volume else "")
    others = await _needing(ask, found, head, pools, node)
    hint = f"ployzctl volume snapshots {ask.namespace}/{ask.volume}"
    require(not others, "purge.needed", cannot, f"it is needed: {', '.join(others)}", hint)
    there, target = found[0]
    below = await there.datasets.below(there.datasets.root)
    return Plan(
        **about(ask.namespace, ask.volume, head, there, by),
        doomed=tuple(
            Doomed(at.machine, one.name, one.guid, one.alone if ask.snapshot else one.used) for at, one in found
        ),
        name=ask.snapshot,
        what=_what(ask),
        promotes=tuple(one.name for one in needs.dependants(target.name, below)),
        base=volume.machine if volume else "",
        bases=tuple(sorted(_bases(ask, volume.machine, pools, node))) if volume else (),
        warnings=tuple(f"{name} does not answer: if it has {_what(ask)}, too, that stays there" for name in silent),
    )


async def _needing(
    ask: VolumePurge, found: Sequence[Found], head: Head | None, pools: Mapping[str, Sequence[Dataset]], node: Node
) -> list[str]:
    """Who needs any of what is to go where that is, but for the name that goes too."""
    points, heads, needing = await points_of_all(node), [head] if head else [], list[str]()
    for there, target in found:
        below, gone = await there.datasets.below(there.datasets.root), await _gone(ask, head, there.machine, node)
        needed = needs.merged(needs.by_points(points, gone), copies.needed(there.machine, heads, pools))
        if ask.snapshot:
            needing += needs.of_snapshot(target, needed, below, (), gone)
        else:
            needing += needs.of_generation(target.name, needed, below, (), gone)
    return [who for who in dict.fromkeys(needing) if who != f"the name {ask.snapshot}"]


def _bases(ask: VolumePurge, machine: str, pools: Mapping[str, Sequence[Dataset]], node: Node) -> set[str]:
    """The guids of what a machine keeps of the volume for a copy, and for nobody else who answers."""
    bases = lineage.bases(pools.get(machine, ()), [folder(ask.namespace, ask.volume, node.at(machine))])
    others = {name: pool for name, pool in pools.items() if name != machine}
    copied = {one.guid for one in others.pop(ask.copy or "", ()) if "@" in one.name}
    return {one.guid for one in bases if one.guid in copied} - lineage.in_common(bases, others.values())


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


async def _found(ask: VolumePurge, head: Head | None, cannot: str, node: Node) -> tuple[list[Found], list[str]]:
    """What is to go, at least one, and the machines that do not answer and may have it too. Raises Refused
    `snapshot.missing`, `generation.missing`, `copy.missing`."""
    if ask.snapshot:
        return await _named(ask.snapshot, ask, cannot, node)
    if ask.copy:
        return [await _copy(ask, cannot, node)], []
    if found := await search(ask.namespace, ask.volume, node, partial(_kept, ask, head)):
        return [found], []
    why = f"{ask.namespace}/{ask.volume} keeps no generation {ask.kept}"
    raise Refused("generation.missing", cannot, why, f"ployzctl volume ls {ask.namespace} --kept")


async def _named(name: str, ask: VolumePurge, cannot: str, node: Node) -> tuple[list[Found], list[str]]:
    """It went along with each move and each copy of its volume. Of another life of the volume is what has its name
    alone."""
    found, silent = list[Found](), list[str]()
    async for there, one in searched(ask.namespace, ask.volume, node, partial(named, name, ask.namespace, ask.volume)):
        if isinstance(one, Refused):
            silent.append(there.machine)
        elif not found or one.guid == found[0][1].guid:
            found.append((there, one))
    return found or [await require_named(name, ask.namespace, ask.volume, cannot, node)], silent


async def _copy(ask: VolumePurge, cannot: str, node: Node) -> Found:
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
    return [
        commit(plan, f"commit the purge of {plan.what}", node),
        *(_promote(plan, heir, node.at(plan.machine)) for heir in plan.promotes),
        *(_destroying(doomed, plan, node.at(doomed.machine)) for doomed in plan.doomed),
        *([_forget(plan, node.at(plan.base))] if plan.bases else []),
    ]


def _destroying(doomed: Doomed, plan: Plan, node: Node) -> Step:
    """One machine after the other: what it frees besides depends on what the others have."""
    says = f"destroy {plan.what}" + (f" on {doomed.machine}" if len(plan.doomed) > 1 else "")
    return Step(says, partial(_destroy, doomed, plan.namespace, node), bytes=doomed.bytes, machine=doomed.machine)


def _forget(plan: Plan, node: Node) -> Step:
    freeing = partial(free_unneeded, plan.namespace, node, plan.bases)
    return Step(f"free what {plan.volume} was to be copied from", freeing, machine=node.machine)


def _promote(plan: Plan, heir: str, node: Node) -> Step:
    """A clone owns what it came from before that is destroyed; it may do so already, or be gone."""

    async def do() -> None:
        there = await node.datasets.look(heir)
        if there and there.origin and there.origin.startswith(f"{plan.doomed[0].target}@"):
            await node.datasets.promote(heir)

    return Step(f"let {'/'.join(heir.split('/')[-3:])} own the snapshots that it came from", do, machine=plan.machine)


async def _destroy(doomed: Doomed, namespace: str, node: Node) -> None:
    """Its own snapshots first, one by one.

    A kept generation of which a snapshot was all goes with it, and a folder of which a generation was.
    """
    there = await node.datasets.look(doomed.target)
    if there is not None and there.guid == doomed.guid:
        if "@" not in doomed.target:
            for one in needs.snapshots(doomed.target, await node.datasets.below(doomed.target)):
                await node.datasets.destroy(one.name)
        await node.datasets.destroy(doomed.target)
    await free_unneeded(namespace, node)
    await free(node.datasets, [volume_of(volume_of(doomed.target))], ())


async def verify(plan: Plan, node: Node, told: Told) -> VolumeChanged:
    for doomed in plan.doomed:
        async with unless_lost(doomed.machine, node.members):
            there = await node.at(doomed.machine).datasets.look(doomed.target)
            confirm(there is None or there.guid != doomed.guid, f"{doomed.target} is still there")
    first, bytes = plan.doomed[0], sum(doomed.bytes for doomed in plan.doomed)
    generation = first.target.rpartition("/")[2].partition("@")[0]
    return changed(plan, "purge", generation=generation, snapshot=plan.name, guid=first.guid, bytes=bytes)
