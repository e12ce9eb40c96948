"""Decide the next head of a namespace from what is wanted and what was seen: no touch of the world."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

import msgspec

from daemon import records
from daemon.change import Change, Generation, Image, Old
from daemon.manifest import Manifest, parse
from daemon.manifest import Service as ServiceManifest
from daemon.planning import data, identity
from daemon.planning.instances import Next, OneShot, ahead, levels
from daemon.planning.names import free, released, require_own_hostnames, require_own_ports, reserved
from daemon.planning.places import Places
from daemon.planning.secrets import versions
from daemon.planning.wanted import Origin as Origin
from daemon.planning.wanted import Seen as Seen
from daemon.planning.wanted import SeenMachine as SeenMachine
from daemon.planning.wanted import Wanted as Wanted
from daemon.primitive import By
from daemon.records import Head, Namespace, Running, Token, Volume
from daemon.wire import Action, Refused

NO_TOKEN = Token(0, 0)
"""A preview has no claim, and never commits."""


def plan_change(record: Namespace, wanted: Wanted, seen: Seen, by: By) -> Change:
    """The plan that makes the namespace what is wanted. Raises Refused where it can't be."""
    before = record.head
    routes = [route for name in wanted.manifest.services for route in wanted.routes(name)]
    require_own_hostnames(wanted.manifest.namespace, routes, seen.taken["hostname"])
    require_own_ports(wanted.manifest, seen.taken["port"], seen.listening)
    wanted = replace(wanted, secrets=versions(record, wanted.manifest, wanted.secrets))
    places = Places(_placed(before, wanted), seen, data.pins(before, wanted), by.operation)
    nexts = _nexts(before, wanted, places, by)
    one_shots = {each.name: _one_shot(each, places) for each in nexts if _is_alone(each)}
    after = _head(record, wanted, nexts, places, by)
    if before and parse(before.manifest) == wanted.manifest and _same(before, after):
        after = before
    roots = data.roots(before, after, seen)
    generations = tuple(data.generations(before, after, wanted, roots, by)) if after is not before else ()
    goes = tuple(leaving(before, after, seen))
    forgets = _forgotten(before, wanted) if after is not before else ()
    change = Change(
        operation=by.operation,
        token=by.tokens.get(after.namespace, NO_TOKEN),
        before=before,
        after=after,
        actions=_actions(before, nexts),
        volume_actions=_volume_actions(before, after, generations),
        images=_images(nexts, seen),
        reserves=reserved(before, after, [one.ip for one in one_shots.values()]),
        releases=released(before, after, [one.ip for one in one_shots.values()]),
        stops=tuple(old for old in goes if _stops_first(old.service, before, nexts)),
        goes=goes,
        snapshot=data.snapshots(before, roots) if after is not before else (),
        copied=wanted.copied if generations else (),
        generations=generations,
        levels=levels(ahead(wanted.first, wanted.manifest.order), nexts, after, one_shots, roots),
        serves=tuple(sorted(seen.machines.keys() - seen.away.keys())),
        roots=roots,
        at=by.at,
        warnings=tuple(_warnings(before, after, wanted, nexts, seen)),
        drops=data.dropped(before, after, roots),
        forgets=forgets,
        tidies=tuple(sorted(record.secrets)) if forgets else (),
        left=tuple(sorted(wanted.left)),
        away=tuple(sorted(seen.away)),
    )
    require_answers(change, seen.away)
    return change


# ------------------------------------------------------------------------------------------------- machines


def _placed(before: Head | None, wanted: Wanted) -> Manifest:
    """The manifest, without the `place` of services that may have been migrated since: they stay with their data."""
    olds, services = before.services if before else {}, wanted.manifest.services
    there = wanted.data.keys() | (before.volumes.keys() if before else frozenset[str]())
    same = {name for name in olds.keys() & services.keys() if olds[name].specification.place == services[name].place}
    placed = {
        name: msgspec.structs.replace(one, place=None)
        if there & one.volumes.keys() and name in wanted.stays | same
        else one
        for name, one in services.items()
    }
    return msgspec.structs.replace(wanted.manifest, services=placed)


def _is_alone(each: Next) -> bool:
    """Whether its hook runs in an instance of its own."""
    return bool(each.hook) and not each.specification.volumes


def _one_shot(each: Next, places: Places) -> OneShot:
    """Beside the service's instances, where there are any."""
    machine = next((one.machine for one in (*each.fresh, *each.kept)), places.seen.here)
    return OneShot(machine, places.address(machine))


def require_answers(change: Change, away: Mapping[str, str]) -> None:
    """Raise Refused `machine.unreachable` where a change needs a machine that does not answer."""
    needs = {one.machine for one in change.goes} | {one.machine for one in change.generations}
    needs |= {taken.machine for taken in (*change.snapshot, *change.copied)}
    for machine in sorted(needs & away.keys()):
        cannot = f"cannot change {change.after.namespace}"
        why = f"it has instances or volumes on {machine}, which does not answer: {away[machine]}"
        raise Refused("machine.unreachable", cannot, why, "ployzctl machine ls")


# ------------------------------------------------------------------------------------------------- services


def _nexts(before: Head | None, wanted: Wanted, places: Places, by: By) -> list[Next]:
    olds = before.services if before else {}
    marked = {
        name: identity.of(specification, wanted.digests[name], wanted.manifest, _seen_by(specification, wanted))
        for name, specification in wanted.manifest.services.items()
    }
    changed = {name for name in marked if name not in olds or olds[name].identity != marked[name]}
    hooked = (changed if wanted.hooked is None else wanted.hooked) & wanted.hooks.keys() - wanted.stopped.keys()
    anew = changed | hooked | _rewritten(hooked, wanted) | wanted.anew | wanted.stopped.keys()
    nexts, seen = [], places.seen
    for name, specification in wanted.manifest.services.items():
        left = () if name in anew else olds[name].instances
        stopped = name in wanted.stopped
        kept = places.stay(name, [one for one in left if one.id in seen.up or name in wanted.left
                                  or one.machine in seen.away])  # fmt: skip
        stem = f"{wanted.manifest.namespace}-{name}"
        fresh = tuple(
            Running(f"{stem}-{number}-{by.operation}", machine, places.address(machine), by.operation)
            for number, machine in enumerate(() if stopped else places.more(name, kept), len(kept) + 1)
        )
        old, ran = olds.get(name), wanted.stopped.get(name, marked[name])
        hook = wanted.hooks[name] if name in hooked else ()
        secrets = _seen_by(specification, wanted)
        nexts.append(Next(name, specification, wanted.digests[name], ran, old, kept, fresh, hook, secrets, stopped))
    return nexts


def _seen_by(specification: ServiceManifest, wanted: Wanted) -> dict[str, int]:
    """The secrets that a service sees, in which versions."""
    found = wanted.secrets or {}
    return {name: found[name] for name in sorted(specification.secrets)}


def _rewritten(hooked: AbstractSet[str], wanted: Wanted) -> set[str]:
    """The services whose data is restored, or rewritten by a hook: they run on new generations."""
    services = wanted.manifest.services
    named = {changed for name in hooked for changed in services[name].hooks.changes}
    return {
        name
        for name, specification in services.items()
        if specification.volumes and (name in named or set(specification.volumes) & set(wanted.data))
    }


def _actions(before: Head | None, nexts: list[Next]) -> dict[str, Action]:
    actions = {each.name: each.action for each in nexts}
    gone: dict[str, Action] = {name: "remove" for name in (before.services if before else {}) if name not in actions}
    return actions | gone


def _images(nexts: list[Next], seen: Seen) -> tuple[Image, ...]:
    wanted = {(one.machine, each.image, each.digest) for each in _containers(nexts) for one in each.fresh}
    return tuple(Image(*image, source=seen.giver(image[2], image[0])) for image in sorted(wanted))


def _containers(nexts: list[Next]) -> list[Next]:
    return [each for each in nexts if each.specification.runtime == "docker"]


# ----------------------------------------------------------------------------------------------------- head


def _head(record: Namespace, wanted: Wanted, nexts: list[Next], places: Places, by: By) -> Head:
    virtual = free(places.seen.services, places.seen.taken["service"], by.operation)
    return Head(
        namespace=wanted.manifest.namespace,
        deploy=record.last_deploy + 1,
        operation=by.operation,
        at=by.at,
        who=by.who,
        manifest=wanted.text,
        services={each.name: _service(each, wanted.routes(each.name), virtual) for each in nexts},
        volumes=_volumes(record, wanted, nexts, places, by),
        restored=wanted.restored,
        source=wanted.source or (record.head.source if record.head else None),
        withheld=wanted.withheld,
    )


def _service(each: Next, routes: tuple[str, ...], virtual: Iterator[str]) -> records.Service:
    address = (each.old.address if each.old else None) or next(virtual)
    return records.Service(
        name=each.name,
        specification=each.specification,
        image=each.image,
        digest=each.digest,
        identity=each.identity,
        address=address if each.specification.ports else None,
        ports=tuple(records.Port(name, number) for name, number in sorted(each.specification.ports.items())),
        routes=routes,
        instances=each.kept + each.fresh,
        stopped=each.stopped,
        secrets=each.secrets,
    )


def _volumes(record: Namespace, wanted: Wanted, nexts: list[Next], places: Places, by: By) -> dict[str, Volume]:
    """Every volume of before stays, unless those that are not wanted are pruned.

    One moves when its service's instance is made anew, or its data is restored.
    """
    volumes = dict(record.head.volumes) if record.head else {}
    if wanted.prune_volumes:
        volumes = {name: volume for name, volume in volumes.items() if name in wanted.volumes}
    moving = {name for each in nexts if each.fresh for name in each.specification.volumes} | set(wanted.data)
    for name, layout in wanted.volumes.items():
        if name not in volumes or name in moving:
            epoch, machine = record.next_epoch(name), places.of_volume(name)
            volumes[name] = Volume(name, machine, by.operation, epoch, layout.quota, layout.owner, layout.mode)
    return volumes


def _same(before: Head, after: Head) -> bool:
    """Whether they differ in nothing but in who asked, when, and in which words."""
    asked = {"deploy": 0, "operation": "", "at": "", "who": "", "restored": None, "manifest": ""}
    return msgspec.structs.replace(before, **asked) == msgspec.structs.replace(after, **asked)


def _volume_actions(before: Head | None, after: Head, generations: tuple[Generation, ...]) -> dict[str, Action]:
    old = before.volumes if before else {}
    made = {generation.volume for generation in generations}
    gone: dict[str, Action] = {name: "remove" for name in old if name not in after.volumes}
    stays: dict[str, Action] = {
        name: "create" if name not in old else "replace" if name in made else "unchanged" for name in after.volumes
    }
    return stays | gone


def _forgotten(before: Head | None, wanted: Wanted) -> tuple[int, ...]:
    """The oldest replaced deploy points beyond those to keep; the one that is replaced now is the newest of them."""
    numbers = sorted({*wanted.past, *((before.deploy,) if before else ())})
    return tuple(numbers[: -wanted.keep])


# ---------------------------------------------------------------------------------------- what leaves


def leaving(before: Head | None, after: Head, seen: Seen) -> Iterator[Old]:
    """The instances that the next head does not have; those of a machine that was removed have gone with it."""
    stays = {instance.id for service in after.services.values() for instance in service.instances}
    for service in before.services.values() if before else ():
        specification = service.specification
        for instance in service.instances:
            if instance.id not in stays and instance.machine in seen.machines:
                yield Old(
                    service=service.name,
                    machine=instance.machine,
                    id=instance.id,
                    was_up=instance.id in seen.up,
                    grace=specification.stop_grace,
                    ports=tuple(port.number for port in service.ports),
                    check=identity.check(specification),
                )


def _stops_first(service: str, before: Head | None, nexts: list[Next]) -> bool:
    """A writer of volumes stops before the snapshots, so that its last acknowledged write is in them."""
    assert before
    old = before.services[service].specification
    new = next((each.specification for each in nexts if each.name == service), None)
    return bool(old.volumes) or (new is not None and new.update == "recreate")


def _writes_behind(each: Next) -> bool:
    """Whether its hook may reach data that has no new generation."""
    hooks = each.specification.hooks
    return bool(each.hook) and each.hook == hooks.before and not hooks.changes and not each.specification.volumes


def _warnings(before: Head | None, after: Head, wanted: Wanted, nexts: list[Next], seen: Seen) -> Iterator[str]:
    yield from wanted.warnings
    for machine, why in sorted(seen.away.items()):
        yield f"{machine} does not answer, and follows once it does: {why}"
    for each in nexts:
        if _writes_behind(each):
            yield (
                f"the hook of {each.name} names no services in `changes`: "
                "what it does to a running database is not taken back if the deploy fails"
            )
    for name in sorted(set(before.volumes if before else ()) & set(after.volumes) - set(wanted.manifest.volumes)):
        yield f"the manifest no longer names the volume {name}: it stays, with its data"
