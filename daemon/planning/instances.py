"""One service's part of a change: the instances to be made, level by level, and the hooks before them."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from graphlib import TopologicalSorter

from daemon import manifest, records
from daemon.change import SECRETS, Candidate, Hook, Level
from daemon.node import ZONE
from daemon.planning import identity
from daemon.records import Head, Running
from daemon.wire import Action
from runtime.instance import Bounds, Specification

HOOK_WITHIN = 3600.0
"""Seconds that a hook may take: schema migrations of large tables do take long; Ctrl-C ends them earlier."""


@dataclass(frozen=True)
class OneShot:
    """Where a hook runs that has an instance of its own."""

    machine: str
    ip: str


@dataclass(frozen=True)
class Next:
    """A service as it will be: which committed instances are kept, which are made, and the hook that runs for it."""

    name: str
    specification: manifest.Service
    digest: str
    identity: str
    old: records.Service | None
    kept: tuple[Running, ...]
    fresh: tuple[Running, ...]
    hook: tuple[str, ...]
    secrets: dict[str, int]
    stopped: bool = False

    @property
    def image(self) -> str:
        """The image as it was asked for; HOST where the service is no container."""
        return self.specification.image or identity.HOST

    @property
    def action(self) -> Action:
        if not self.old:
            return "create"
        return "unchanged" if self.kept == self.old.instances and not self.fresh else "replace"


def ahead(first: AbstractSet[str], order: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The order (Manifest.order) in which everybody waits for the services `first`, but whom those wait for."""
    needed, more = set(first), set(first)
    while more := {before for name in more for before in order[name]} - needed:
        needed |= more
    return {name: before if name in needed else before | first for name, before in order.items()}


def levels(
    order: Mapping[str, set[str]],
    nexts: list[Next],
    after: Head,
    one_shots: Mapping[str, OneShot],
    roots: Mapping[str, str],
) -> tuple[Level, ...]:
    """The instances to be made, level by level of `order` (Manifest.order)."""
    named = {each.name: each for each in nexts}
    sorter = TopologicalSorter(order)
    sorter.prepare()
    found = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        sorter.done(*ready)
        going = [named[name] for name in ready if named[name].fresh or named[name].hook]
        if going:
            hooks = tuple(_hook(each, after, one_shots) for each in going if each.hook)
            found.append(Level(hooks, tuple(c for each in going for c in candidates(each, after, roots))))
    return tuple(found)


def candidates(each: Next, after: Head, roots: Mapping[str, str]) -> Iterator[Candidate]:
    """The instances of a service that are to be made."""
    for instance in each.fresh:
        data = {
            target: after.dataset(name, roots[instance.machine]) for name, target in each.specification.volumes.items()
        }
        specification = _specification(each, instance.id, instance.ip, after.namespace)
        check = identity.check(each.specification)
        files = each.specification.files
        yield Candidate(each.name, instance.machine, specification, data, check, files, each.secrets)


def _hook(each: Next, after: Head, one_shots: Mapping[str, OneShot]) -> Hook:
    if each.specification.volumes:
        inside = each.fresh[0]
        return Hook(each.name, inside.machine, each.hook, HOOK_WITHIN, inside=inside.id)
    id, place = f"{after.namespace}-{each.name}-hook-{after.operation}", one_shots[each.name]
    settings = _specification(each, id, place.ip, after.namespace, command=each.hook)
    files = each.specification.files
    return Hook(each.name, place.machine, each.hook, HOOK_WITHIN, one_shot=settings, files=files, secrets=each.secrets)


def one_shot(service: records.Service, place: Running, namespace: str, argv: tuple[str, ...]) -> Specification:
    """An instance that runs a command in what the service has, but for its volumes."""
    about = (service.name, service.specification, service.digest, service.identity)
    each = Next(*about, service, (), (), hook=(), secrets=service.secrets)
    return _specification(each, place.id, place.ip, namespace, command=argv)


def _specification(
    each: Next, id: str, ip: str, namespace: str, command: tuple[str, ...] | None = None
) -> Specification:
    settings = each.specification
    return Specification(
        id=id,
        image=each.digest,
        ip=ip,
        labels={"ployz.namespace": namespace, "ployz.service": each.name, "ployz.image": each.image},
        command=command or settings.command,
        entrypoint=settings.entrypoint,
        env={**settings.env, **{f"{name}_FILE": f"{SECRETS}/{name}" for name in settings.secrets}},
        user=settings.user,
        workdir=settings.workdir,
        search=(f"{namespace}.{ZONE}", ZONE),
        shm=settings.shm,
        stop_grace=settings.stop_grace,
        survives=settings.restart == "on-failure" and command is None,
        bounds=_bounds(settings),
        runtime=settings.runtime,
    )


def _bounds(settings: manifest.Service) -> Bounds:
    return Bounds(
        ulimits=settings.ulimits,
        devices=settings.devices,
        cap_add=settings.cap_add,
        read_only=settings.read_only,
        log=settings.log.max,
        cpus=settings.resources.cpus,
        memory=settings.resources.memory,
    )
