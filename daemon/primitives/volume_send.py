"""volume send: another machine has a volume as it is now, besides the one that it is used on.

A copy is a generation that nobody writes and no name points at. Each is a new one, which begins as what the one before
it has in common with the volume; so only what changed since is sent, and until the commit the one before it is whole.
"""

from collections.abc import Sequence
from typing import Literal

from daemon import sending
from daemon.belonging import unless_lost
from daemon.changing import grouped
from daemon.lineage import COPY
from daemon.migrating import Move, copying, ways
from daemon.migrating.steps import carry, forget, free, prepare
from daemon.node import Node
from daemon.primitive import By, Part, Told, confirm, require
from daemon.records import Machine, Volume
from daemon.seeing import points_of_all, require_room, require_takes
from daemon.volumes import About, about, changed, commit, found
from daemon.wire import Expected, Foreseen, VolumeChanged, VolumeSend

KIND = "volume"


class Plan(About, frozen=True, kw_only=True):
    """`move` is the way of the volume's snapshots; a preview says what is `foreseen`."""

    move: Move
    foreseen: Foreseen


def claims(ask: VolumeSend) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "change"}


async def plan(ask: VolumeSend, node: Node, by: By) -> Plan:
    cannot = f"cannot send {ask.namespace}/{ask.volume} to {ask.to}"
    head, volume, source = await found(ask.namespace, ask.volume, cannot, node)
    machines = await node.members.machines()
    target = _required(ask, volume, machines, cannot)
    way = ways.way(ask, volume, target, node, by)
    move = await ways.beside(await ways.looked(way, volume, await points_of_all(node), node, by), machines, node)
    await require_room(node.at(ask.to), cannot, move.stored)
    told = Expected(ask.volume, way.machine, way.to, move.bytes, 1, move.free, 0.0)
    return Plan(
        **about(ask.namespace, ask.volume, head, source, by),
        move=move,
        foreseen=Foreseen((told,)),
        warnings=tuple(ways.staying(move)),
    )


def _required(ask: VolumeSend, volume: Volume, machines: dict[str, Machine], cannot: str) -> Machine:
    """The machine that the copy is to be on. Raises Refused `machine.missing`, `send.there`, `machine.draining`."""
    known, hint = ", ".join(sorted(machines)), "ployzctl machine ls"
    require(ask.to in machines, "machine.missing", cannot, f"there is no machine {ask.to}; there is {known}", hint)
    require(ask.to != volume.machine, "send.there", cannot, "that is the machine that the volume is on", hint)
    require_takes(machines[ask.to], cannot)
    return machines[ask.to]


def steps(plan: Plan, node: Node) -> Sequence[Part]:
    move, by, way = plan.move, plan.operation, plan.move.way
    return [
        prepare(move, node, by),
        copying.copy(move, node, by),
        *grouped([carry(move, past, node, by) for past in move.past]),
        commit(plan, f"commit the copy of {plan.volume} on {way.to}", node),
        copying.hold(move, node),
        copying.own(move, node),
        *grouped(forget(move, node)),
        *free([move], node, by),
    ]


async def verify(plan: Plan, node: Node, told: Told) -> VolumeChanged:
    """It is the copy, of a snapshot that is on both machines."""
    way, taken = plan.move.way, plan.move.rounds[0]
    copy = await node.at(way.to).datasets.look(way.dataset)
    state = copy.marks.get("state") if copy else "not there"
    confirm(state == COPY, f"the generation {way.dataset} is {state}")
    last = next(reversed(await sending.arrived(way, node)), None)
    async with unless_lost(way.machine, node.members):
        source = await node.at(way.machine).datasets.look(f"{way.source}@{taken}")
        confirm(last and source and last.guid == source.guid, f"{way.source}@{taken} is not on both machines")
    bytes = told.moved(copying.copying(plan.move))
    generation = plan.operation
    return changed(plan, "send", machine=way.to, generation=generation, guid=last.guid if last else None, bytes=bytes)
