"""Decide the next head of a namespace from what is wanted and what was seen: no touch of the world."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import msgspec

from daemon import records
from daemon.change import Change, Generation, Image, Old
from daemon.manifest import Manifest, parse
from daemon.manifest import Service as ServiceManifest
from daemon.manifest import Volume as VolumeManifest
from daemon.planning import identity
from daemon.planning.instances import Next, levels
from daemon.planning.names import free, released, require_own_hostnames, require_own_ports, reserved
from daemon.planning.places import require_here
from daemon.planning.secrets import versions
from daemon.primitive import By
from daemon.records import Head, Namespace, Running, Source, Token, Volume
from daemon.wire import Action
from dataplane.dataset import Layout

NO_TOKEN = Token(0, 0)
"""A preview has no claim, and never commits."""


@dataclass(frozen=True)
class Wanted:
    """What the namespace is to be. `digests` are those of the services' images (identity.HOST where it has none).

    `volumes` are the manifest's, and those that it no longer names but whose data is restored; `data` maps volumes
    to the snapshots they are to begin from, of which those of the datasets `copied` are taken by this very operation.
    `hooks` are commands by service, which run for the services `hooked`; None: for those that change. `past` are the
    numbers of the replaced deploy points, of which `keep` stay; `prune_volumes` lets go of volumes that `volumes` does
    not name. `anew` names services whose instances are replaced though nothing changed, `stopped` those that have
    none, with the identity that each ran last; `left` are not touched, whether their instances run or not. `secrets`
    are the versions to be seen, where they are not the newest; `withheld` are routes that are not carried.
    """

    manifest: Manifest
    text: str
    digests: Mapping[str, str]
    volumes: Mapping[str, VolumeManifest]
    data: Mapping[str, str] = field(default_factory=dict)
    copied: tuple[str, ...] = ()
    hooks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hooked: frozenset[str] | None = None
    restored: int | None = None
    source: Source | None = None
    withheld: tuple[str, ...] = ()
    anew: frozenset[str] = frozenset()
    stopped: Mapping[str, str] = field(default_factory=dict)
    left: frozenset[str] = frozenset()
    past: tuple[int, ...] = ()
    keep: int = 10
    prune_volumes: bool = False
    warnings: tuple[str, ...] = ()
    secrets: Mapping[str, int] | None = None

    def routes(self, service: str) -> tuple[str, ...]:
        """Those of a service that are carried."""
        return tuple(route for route in self.manifest.routes(service) if route not in self.withheld)


@dataclass(frozen=True)
class Seen:
    """What was seen of the world. `up` are the ids of instances that run; `taken` the names of each kind that are
    reserved, or used by a stranger, with the namespace that holds them; `subnet` and `services` the ranges that
    addresses come from; `listening` the ports of the host on which a process of its own can be reached."""

    machine: str
    root: str
    subnet: str
    services: str
    up: frozenset[str]
    taken: Mapping[str, Mapping[str, str]]
    listening: frozenset[int] = frozenset()


def plan_change(record: Namespace, wanted: Wanted, seen: Seen, by: By) -> Change:
    """The plan that makes the namespace what is wanted. Raises Refused where it can't be."""
    before = record.head
    routes = [route for name in wanted.manifest.services for route in wanted.routes(name)]
    require_own_hostnames(wanted.manifest.namespace, routes, seen.taken["hostname"])
    require_own_ports(wanted.manifest, seen.taken["port"], seen.listening)
    require_here(wanted.manifest, seen.machine)
    wanted = replace(wanted, secrets=versions(record, wanted.manifest, wanted.secrets))
    addresses = free(seen.subnet, seen.taken["address"], by.operation)
    nexts = _nexts(before, wanted, seen, addresses, by)
    one_shots = {each.name: next(addresses) for each in nexts if each.hook and not each.specification.volumes}
    after = _head(record, wanted, nexts, seen, by)
    if before and parse(before.manifest) == wanted.manifest and _same(before, after):
        after = before
    generations = tuple(_generations(before, after, wanted, seen.root, by)) if after is not before else ()
    goes = tuple(_leaving(before, after, seen.up))
    return Change(
        operation=by.operation,
        token=by.tokens.get(after.namespace, NO_TOKEN),
        before=before,
        after=after,
        actions=_actions(before, nexts),
        volume_actions=_volume_actions(before, after, generations),
        images=_images(nexts),
        reserves=reserved(before, after, one_shots.values()),
        releases=released(before, after, one_shots.values()),
        stops=tuple(old for old in goes if _stops_first(old.service, before, nexts)),
        goes=goes,
        snapshot=_datasets(before, seen.root) if after is not before else (),
        copied=wanted.copied if generations else (),
        generations=generations,
        levels=levels(wanted.manifest.order, nexts, after, one_shots, seen.root),
        root=seen.root,
        at=by.at,
        warnings=tuple(_warnings(before, after, wanted, nexts)),
        drops=_dropped(before, after, seen.root),
        forgets=_forgotten(before, wanted) if after is not before else (),
        left=tuple(sorted(wanted.left)),
    )


# ------------------------------------------------------------------------------------------------- services


def _nexts(before: Head | None, wanted: Wanted, seen: Seen, addresses: Iterator[str], by: By) -> list[Next]:
    olds = before.services if before else {}
    marked = {
        name: identity.of(specification, wanted.digests[name], wanted.manifest, _seen_by(specification, wanted))
        for name, specification in wanted.manifest.services.items()
    }
    changed = {name for name in marked if name not in olds or olds[name].identity != marked[name]}
    hooked = (changed if wanted.hooked is None else wanted.hooked) & wanted.hooks.keys() - wanted.stopped.keys()
    anew = changed | hooked | _rewritten(hooked, wanted) | wanted.anew | wanted.stopped.keys()
    nexts = []
    for name, specification in wanted.manifest.services.items():
        up = () if name in anew else tuple(i for i in olds[name].instances if i.id in seen.up or name in wanted.left)
        stopped = name in wanted.stopped
        kept = up[: specification.replicas]
        stem = f"{wanted.manifest.namespace}-{name}"
        fresh = tuple(
            Running(f"{stem}-{number + 1}-{by.operation}", seen.machine, next(addresses), by.operation)
            for number in range(len(kept), 0 if stopped else specification.replicas)
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


def _images(nexts: list[Next]) -> tuple[Image, ...]:
    wanted = {(each.image, each.digest) for each in _containers(nexts) if each.fresh}
    return tuple(Image(name, digest) for name, digest in sorted(wanted))


def _containers(nexts: list[Next]) -> list[Next]:
    return [each for each in nexts if each.specification.runtime == "docker"]


# ----------------------------------------------------------------------------------------------------- head


def _head(record: Namespace, wanted: Wanted, nexts: list[Next], seen: Seen, by: By) -> Head:
    virtual = free(seen.services, seen.taken["service"], by.operation)
    return Head(
        namespace=wanted.manifest.namespace,
        deploy=record.last_deploy + 1,
        operation=by.operation,
        at=by.at,
        who=by.who,
        manifest=wanted.text,
        services={each.name: _service(each, wanted.routes(each.name), virtual) for each in nexts},
        volumes=_volumes(record.head, wanted, nexts, seen.machine, by),
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


def _volumes(before: Head | None, wanted: Wanted, nexts: list[Next], machine: str, by: By) -> dict[str, Volume]:
    """Every volume of before stays, unless those that are not wanted are pruned.

    One moves when its service's instance is made anew, or its data is restored.
    """
    volumes = dict(before.volumes) if before else {}
    if wanted.prune_volumes:
        volumes = {name: volume for name, volume in volumes.items() if name in wanted.volumes}
    moving = {name for each in nexts if each.fresh for name in each.specification.volumes} | set(wanted.data)
    for name, layout in wanted.volumes.items():
        old = volumes.get(name)
        if old is None or name in moving:
            epoch = old.epoch + 1 if old else 1
            volumes[name] = Volume(name, machine, by.operation, epoch, layout.quota, layout.owner, layout.mode)
    return volumes


def _same(before: Head, after: Head) -> bool:
    """Whether they differ in nothing but in who asked, when, and in which words."""
    asked = {"deploy": 0, "operation": "", "at": "", "who": "", "restored": None, "manifest": ""}
    return msgspec.structs.replace(before, **asked) == msgspec.structs.replace(after, **asked)


# ----------------------------------------------------------------------------------------------------- data


def _generations(before: Head | None, after: Head, wanted: Wanted, root: str, by: By) -> Iterator[Generation]:
    for name, volume in sorted(after.volumes.items()):
        if volume.generation != by.operation:
            continue
        folder = f"{root}/{after.namespace}/{name}"
        old = before.volumes.get(name) if before else None
        present = f"{folder}/{old.generation}@{by.operation}" if old else None
        marks = {"namespace": after.namespace, "volume": name, "epoch": str(volume.epoch), "state": "candidate"}
        layout = Layout(volume.quota, volume.owner, volume.mode)
        yield Generation(name, f"{folder}/{by.operation}", wanted.data.get(name, present), layout, marks)


def _volume_actions(before: Head | None, after: Head, generations: tuple[Generation, ...]) -> dict[str, Action]:
    old = before.volumes if before else {}
    made = {generation.volume for generation in generations}
    gone: dict[str, Action] = {name: "remove" for name in old if name not in after.volumes}
    stays: dict[str, Action] = {
        name: "create" if name not in old else "replace" if name in made else "unchanged" for name in after.volumes
    }
    return stays | gone


def _datasets(before: Head | None, root: str) -> tuple[str, ...]:
    volumes = sorted(before.volumes.values(), key=lambda volume: volume.name) if before else []
    return tuple(f"{root}/{before.namespace}/{v.name}/{v.generation}" for v in volumes) if before else ()


def _dropped(before: Head | None, after: Head, root: str) -> tuple[str, ...]:
    """The generations of volumes that the next head does not name."""
    return tuple(name for name in _datasets(before, root) if name.split("/")[-2] not in after.volumes)


def _forgotten(before: Head | None, wanted: Wanted) -> tuple[int, ...]:
    """The oldest replaced deploy points beyond those to keep; the one that is replaced now is the newest of them."""
    numbers = sorted({*wanted.past, *((before.deploy,) if before else ())})
    return tuple(numbers[: -wanted.keep])


# ---------------------------------------------------------------------------------------- what leaves


def _leaving(before: Head | None, after: Head, up: frozenset[str]) -> Iterator[Old]:
    stays = {instance.id for service in after.services.values() for instance in service.instances}
    for service in before.services.values() if before else ():
        specification = service.specification
        for instance in service.instances:
            if instance.id not in stays:
                yield Old(
                    service=service.name,
                    id=instance.id,
                    was_up=instance.id in up,
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


def _warnings(before: Head | None, after: Head, wanted: Wanted, nexts: list[Next]) -> Iterator[str]:
    yield from wanted.warnings
    for each in nexts:
        if _writes_behind(each):
            yield (
                f"the hook of {each.name} names no services in `changes`: "
                "what it does to a running database is not taken back if the deploy fails"
            )
    for name in sorted(set(before.volumes if before else ()) & set(after.volumes) - set(wanted.manifest.volumes)):
        yield f"the manifest no longer names the volume {name}: it stays, with its data"
