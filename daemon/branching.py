"""What a branch takes from its source: which services and volumes as they are, which begin anew, which routes stay."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from daemon.change import Pause, Snapshot
from daemon.manifest import NAMESPACE, Manifest
from daemon.nearest import nearest
from daemon.node import Node
from daemon.planning import Origin, Seen, data
from daemon.planning.identity import HOST
from daemon.records import Head
from daemon.seeing import resolve
from daemon.wire import Branch, Mode, Refused


@dataclass(frozen=True)
class Modes:
    """How each service and each volume of the source is taken over."""

    services: Mapping[str, Mode]
    volumes: Mapping[str, Mode]


def modes(ask: Branch, source: Head, cannot: str) -> Modes:
    """A service that begins anew has volumes that do, unless they are named. Raises Refused `branch.unknown`."""
    _require_known("service", ask.services, source.services, cannot)
    _require_known("volume", ask.volumes, source.volumes, cannot)
    services: dict[str, Mode] = dict.fromkeys(source.services, ask.service_mode) | ask.services
    volumes: dict[str, Mode] = dict.fromkeys(source.volumes, ask.volume_mode)
    for name, service in source.services.items():
        if services[name] == "fresh":
            volumes |= dict.fromkeys(service.specification.volumes, "fresh")
    return Modes(services, volumes | ask.volumes)


def _require_known(kind: str, named: Mapping[str, Mode], known: Mapping[str, object], cannot: str) -> None:
    for name in named:
        if name not in known:
            close = nearest(name, known)
            hint = f"did you mean {close}?" if close else f"its {kind}s are {', '.join(sorted(known)) or 'none'}"
            raise Refused("branch.unknown", cannot, f"it has no {kind} {name}", hint)


def copied(source: Head, volumes: Iterable[str], seen: Seen, by: str) -> tuple[tuple[Snapshot, ...], dict[str, Origin]]:
    """The snapshots that `by` takes of these volumes, at one instant on each machine; and by volume where its is."""
    named = [source.volumes[name] for name in sorted(volumes)]
    roots = data.roots(None, source, seen)
    origins = {one.name: Origin(one.machine, f"{data.dataset(source, one, roots)}@{by}") for one in named}
    return data.taken(source, origins, roots), origins


async def digests(manifest: Manifest, head: Head, node: Node) -> dict[str, str]:
    """The very images that run there, wherever their tags moved since; others are looked up."""
    found = {}
    for name, service in manifest.services.items():
        there = head.services.get(name)
        if service.runtime == "host":
            found[name] = HOST
        elif there and there.image == service.image:
            found[name] = await resolve(there.digest, node, pull="never")
        else:
            found[name] = await resolve(service.image, node, pull=service.pull)
    return found


def hooks(manifest: Manifest, modes: Modes) -> dict[str, tuple[str, ...]]:
    """On copied data `on_branch` runs; a service that begins anew has the hooks of a first deploy."""
    services = manifest.services.items()
    chosen = {n: s.hooks.before if modes.services.get(n) == "fresh" else s.hooks.on_branch for n, s in services}
    return {name: hook for name, hook in chosen.items() if hook}


def cleaners(manifest: Manifest, modes: Modes) -> frozenset[str]:
    """The services whose `on_branch` runs: nobody else of the branch is to see its data before that."""
    services = manifest.services.items()
    return frozenset(name for name, one in services if one.hooks.on_branch and modes.services.get(name) != "fresh")


def pauses(head: Head, volumes: Collection[str], seen: Seen) -> tuple[Pause, ...]:
    """The running instances that write to one of these volumes, by machine."""
    found: dict[str, list[str]] = {}
    for service in head.services.values():
        if not service.specification.volumes.keys().isdisjoint(volumes):
            for instance in service.instances:
                if instance.id in seen.up:
                    found.setdefault(instance.machine, []).append(instance.id)
    return tuple(Pause(machine, tuple(sorted(ids))) for machine, ids in sorted(found.items()))


def literal(manifest: Manifest) -> tuple[str, ...]:
    """Routes that are no branch's own: they name a host whoever deploys them."""
    routes = (route for service in manifest.services.values() for route in service.routes)
    return tuple(sorted(route for route in routes if NAMESPACE not in route))


def unpublished(manifest: Manifest) -> Manifest:
    """The manifest without ports of the host: a branch leaves those to its source."""
    services = {name: replace(service, publish={}) for name, service in manifest.services.items()}
    return replace(manifest, services=services)


def warnings(source: Manifest) -> Iterator[str]:
    """What of the source is not carried."""
    for route in literal(source):
        yield f"the route {route} is not carried: without {NAMESPACE} in it, it stays its source's"
    for name, service in source.services.items():
        for port in service.publish:
            yield f"the port {port} of the host is not carried: it stays that of its source's {name}"
