"""Where a service goes: to a machine that somebody named, or off one, to wherever a deploy would have it."""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from daemon.manifest import GLOBAL, Service, parse
from daemon.planning import Seen
from daemon.planning.places import Against, Places
from daemon.records import Head, Running


class Goal(NamedTuple):
    """Of a service's instances those in `stays` are kept, and new ones begin on `machines`; `volumes` says where each
    of those goes that moves."""

    stays: tuple[Running, ...]
    machines: tuple[str, ...]
    volumes: Mapping[str, str]

    @property
    def to(self) -> str:
        """The machines, in words."""
        return ", ".join(sorted({*self.machines, *self.volumes.values()})) or "no machine"


def towards(to: str, service: str, head: Head) -> Goal:
    """All of a service is on that machine; what is there already stays."""
    old = head.services[service]
    stays = tuple(one for one in old.instances if one.machine == to)
    fresh = (to,) * (len(old.instances) - len(stays))
    return Goal(stays, fresh, dict.fromkeys(old.specification.volumes, to))


def away(off: str, service: str, head: Head, places: Places) -> Goal:
    """What a service has on the machine `off` is where a deploy would have it. Raises Refused as Places does.

    One that is to run once on each machine just leaves. Without a service it is the volumes that none has.
    """
    volumes = leaving(off, service, head)
    if not service:
        return Goal((), (), dict.fromkeys(volumes, next(places.more(LODGER, ()))) if volumes else {})
    old = head.services[service]
    stays = tuple(one for one in old.instances if one.machine != off and one.machine in places.seen.machines)
    if old.specification.replicas == GLOBAL or (stays == old.instances and not volumes):
        return Goal(stays, (), {})
    machines = tuple(places.more(service, stays))
    return Goal(stays, () if old.stopped else machines, dict.fromkeys(volumes, machines[0]) if volumes else {})


def leaving(off: str, service: str, head: Head) -> list[str]:
    """The volumes that go from there: a service's, or those that none has."""
    names = sorted(head.services[service].specification.volumes) if service else unused(head)
    return [name for name in names if head.volumes[name].machine == off]


LODGER = ""
"""Stands for a service where volumes that none has look for a place: no service is called so."""


def places(service: str, head: Head, seen: Seen, against: Against, seed: str) -> Places:
    """Where there is a place for what a service has, away from who is barred.

    What has volumes may have been moved from where its manifest has it.
    """
    manifest = parse(head.manifest)
    wanted = Service(volumes=dict.fromkeys(unused(head), "/")) if not service else head.services[service].specification
    if wanted.volumes and wanted.place:
        wanted = replace(wanted, place=replace(wanted.place, machine=None))
    others = {name: one.specification for name, one in head.services.items() if name != service}
    manifest = replace(manifest, services={**others, service: wanted})
    found = Places(manifest, seen, {}, seed, against)
    for name in others:
        found.stay(name, head.services[name].instances)
    return found


def unused(head: Head) -> list[str]:
    """The volumes that no service has."""
    used = {name for service in head.services.values() for name in service.specification.volumes}
    return sorted(head.volumes.keys() - used)
