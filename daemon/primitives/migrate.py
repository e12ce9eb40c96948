"""migrate: a service, with its volumes, runs on another machine; nothing that was acknowledged is lost on the way."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from msgspec.structs import replace

from daemon import changing, sending
from daemon.belonging import unless_lost
from daemon.changing.feasible import note, require_keys
from daemon.changing.serving import FLIP
from daemon.migrating import Move, goals, planning, shared, ways
from daemon.migrating import Plan as Plan
from daemon.migrating.fitting import Unfit, going_to
from daemon.migrating.images import supplies
from daemon.migrating.steps import copying, finishing
from daemon.migrating.steps import steps as steps
from daemon.node import Node
from daemon.planning import Seen, SeenMachine, require_answers
from daemon.planning.places import Against, Places
from daemon.primitive import By, Told, confirm, require
from daemon.records import Head, Service, Volume
from daemon.seeing import points_of_all, require_head, require_room, require_service, require_takes, see
from daemon.wire import Migrate, Migrated, MovedVolume, Supply

KIND = "migrated"


def claims(ask: Migrate) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "change"}


NOTHING: Mapping[str, int] = {}


async def plan(ask: Migrate, node: Node, by: By, spoken: Mapping[str, int] = NOTHING) -> Plan:
    """What is to be left goes to the first place that it fits in; who cannot take it is named if nobody can.

    `spoken` are the bytes on each machine that something else is about to take.
    """
    barred = {ask.off: "it is to be left"}
    while True:
        try:
            return await _planned(ask, Chances(barred, spoken), node, by)
        except Unfit as unfit:
            barred[unfit.machine] = unfit.why


class Chances(NamedTuple):
    """What decides which machine can take it: who is barred and why, the bytes that are spoken for."""

    barred: Mapping[str, str]
    spoken: Mapping[str, int]


async def _planned(ask: Migrate, chances: Chances, node: Node, by: By) -> Plan:
    """Raises Unfit where it is to leave a machine, and one that it was to go to cannot take it."""
    barred, spoken = chances
    record = await node.records.namespace(ask.namespace)
    cannot = f"cannot migrate {ask.namespace}/{ask.service} {f'off {ask.off}' if ask.off else f'to {ask.to}'}"
    before, service = await require_head(node, ask.namespace, cannot), None
    if ask.service or not ask.off:
        _, service = await require_service(node, ask.namespace, ask.service, cannot)
    leaving = goals.leaving(ask.off, ask.service, before) if ask.off else []
    lacks = await ways.lacking(ask.namespace, [before.volumes[name] for name in leaving], node)
    seen = await see(node)
    if service and not ask.off:
        _require_target(ask, service, before, seen, cannot)
    places = goals.places(ask.service, before, seen, Against(barred, lacks), by.operation)
    goal = goals.away(ask.off, ask.service, before, places) if ask.off else goals.towards(ask.to, ask.service, before)
    addresses = _addresses(ask, goal, places)
    after = planning.head_after(record, ask.service, goal, addresses, by)
    require(after != before, "migrate.there", cannot, f"nothing of it is on {ask.off}", f"ployzctl ps {ask.namespace}")
    olds = [before.volumes[name] for name in goal.volumes]
    _require_answers(olds, seen, cannot)
    change = planning.change(before, after, ask.service, seen, by)
    note(change, node)
    require_answers(change, seen.away)
    points = await points_of_all(node)
    slower = replace(ask, rate=shared(ask.rate, len(olds)))
    moves, supplied = list[Move](), list[Supply]()
    for machine in sorted({*goal.machines, *goal.volumes.values()}):
        arrivals = [old for old in olds if goal.volumes[old.name] == machine]
        to = seen.machines[machine].record
        going = [(ways.way(slower, old, to, node, by), after.volumes[old.name]) for old in arrivals]
        with going_to(machine, named=not ask.off):
            await require_keys(change, machine, node)
            needed = [image for image in change.images if image.machine == machine]
            supplied += await supplies(needed, seen, node, cannot)
            moves += (come := [await ways.looked(way, volume, points, node, by) for way, volume in going])
            await require_room(node.at(machine), cannot, spoken.get(machine, 0) + sum(move.stored for move in come))
    moves = [await ways.beside(move, seen.machines.keys() - seen.away.keys(), node) for move in moves]
    sources = {old.machine for old in change.goes} | {old.machine for old in olds}
    warnings = [*_away(seen), *(said for move in moves for said in ways.staying(move))]
    change, foreseen = planning.given(change, supplied), planning.foreseen(change, moves, supplied)
    return Plan(change, ask.service, ", ".join(sorted(sources)), goal.to, tuple(moves), foreseen, tuple(warnings))


def _addresses(ask: Migrate, goal: goals.Goal, places: Places) -> list[str]:
    """Of each of its new instances."""
    addresses = []
    for machine in goal.machines:
        with going_to(machine, named=not ask.off):
            addresses.append(places.address(machine))
    return addresses


def _require_target(ask: Migrate, service: Service, before: Head, seen: Seen, cannot: str) -> None:
    """Refuse a machine that cannot take what comes."""
    known, hint = ", ".join(sorted(seen.machines)), "ployzctl machine ls"
    require(ask.to in seen.machines, "machine.missing", cannot, f"there is no machine {ask.to}; there is {known}", hint)
    target = seen.machines[ask.to]
    require_takes(target.record, cannot)
    require(not target.away, "machine.unreachable", cannot, f"{ask.to} does not answer: {target.away}", hint)
    there = {one.machine for one in service.instances}
    there |= {before.volumes[name].machine for name in service.specification.volumes}
    require(there != {ask.to}, "migrate.there", cannot, "it is there already", f"ployzctl ps {ask.namespace}")
    require(there, "migrate.nothing", cannot, "it is stopped, and has no volumes", "start it, or set its `place`")
    why = _why_not(service, ask.to, target)
    require(not why, "place.none", cannot, why, f"another `place` or number of `replicas` of {ask.service}")


def _why_not(service: Service, to: str, target: SeenMachine) -> str:
    """Why its manifest keeps it from there. Where a service with volumes is made is not where it has to stay."""
    settings = service.specification
    if settings.replicas == "global":
        return "it runs on each machine"
    place = settings.place
    if place and place.machine not in (None, to) and not settings.volumes:
        return f"place names {place.machine}"
    for label, value in (place.labels if place else {}).items():
        if (has := target.record.labels.get(label)) != value:
            return f"the label {label} of {to} is {has or 'not set'}, not {value}"
    return ""


def _require_answers(olds: Sequence[Volume], seen: Seen, cannot: str) -> None:
    for old in olds:
        gone = seen.away.get(old.machine)
        why = f"its volume {old.name} is on {old.machine}, which does not answer: {gone}"
        require(not gone, "machine.unreachable", cannot, why, "ployzctl machine ls")


def _away(seen: Seen) -> list[str]:
    return [f"{name} does not answer, and follows once it does: {why}" for name, why in sorted(seen.away.items())]


async def verify(plan: Plan, node: Node, told: Told) -> Migrated:
    change, moves = plan.change, plan.moves
    await changing.confirm_instances(change, node)
    await changing.confirm_served(change, node)
    volumes = [await _moved(move, node, told) for move in moves]
    down = [told.seconds(f"stop {old.id}", FLIP) for old in change.stops]
    return Migrated(change.after.namespace, plan.service, plan.source, plan.to, volumes, max(down, default=0.0))


async def _moved(move: Move, node: Node, told: Told) -> MovedVolume:
    """The new generation is current where it came to, and nobody writes the one that it came from."""
    way = move.way
    new = await node.at(way.to).datasets.look(way.dataset)
    state = new.marks.get("state") if new else "not there"
    confirm(state == "current", f"the generation {way.dataset} is {state}")
    async with unless_lost(way.machine, node.members):
        old = await node.at(way.machine).datasets.look(way.source)
        kept = old and old.marks.get("state") == "kept" and old.path is None
        confirm(kept or not old, f"the generation {way.source} is not kept")
    last = [move.rounds.index(one.name.partition("@")[2]) for one in await sending.arrived(way, node)
            if one.name.partition("@")[2] in move.rounds]  # fmt: skip
    full, rest = told.moved(copying(move)), told.moved(finishing(move))
    return MovedVolume(move.volume.name, full, rest, max(last, default=0) + 1, move.volume.generation)
