"""What is served: pure functions of the committed heads, the open operations' views and the instances that are down.

Everything is made whole, never changed in part: applying it twice, or after having missed some, comes to the same.
"""

from collections.abc import Collection, Mapping, Sequence

from daemon.node import ZONE, View
from daemon.records import Head, Namespace, Service
from dataplane.gateway import Route
from dataplane.maps import Maps, Place

GATEWAY_PORTS = ("web", "http")
"""A route leads to the port of the first of these names that its service has, else to its only one."""

Heads = Mapping[str, Head]


def heads_of(namespaces: Mapping[str, Namespace]) -> dict[str, Head]:
    """The heads of the namespaces that exist."""
    return {name: record.head for name, record in namespaces.items() if record.head}


def maps(heads: Heads, views: Sequence[View], down: Collection[str]) -> Maps:
    """Where virtual addresses and published ports lead: to the committed instances, and at virtual addresses, for
    members of a view, to its candidates.

    A member is refused where its candidate has no instance yet, and at ports that the candidate dropped.
    """
    away = {id for view in views for id in view.withdrawn} | set(down)
    committed = {
        at: targets
        for head in heads.values()
        for service in head.services.values()
        for at, targets in _led(service, away).items()
        if targets
    }
    members = {
        (member, at): targets
        for view in views
        for at, targets in _seen(view, heads.get(view.namespace), down).items()
        for member in view.members
    }
    services = (service for head in heads.values() for service in head.services.values())
    published = {at: led for service in services for at, led in _published(service, away).items() if led}
    return Maps(committed, members, published)


def hosts(heads: Heads, views: Sequence[View]) -> dict[str, str]:
    """Full name → virtual address. A service that is a candidate only has a name too, at which everybody but the
    members of its view is refused."""
    named = [(view.namespace, service) for view in views for service in view.candidates]
    named += [(name, service) for name, head in heads.items() for service in head.services.values()]
    return {f"{service.name}.{name}.{ZONE}": service.address for name, service in named if service.address}


def routes(heads: Heads) -> tuple[Route, ...]:
    """The routes of all committed services. None leads to a candidate."""
    return tuple(
        _route(written, service.address, port)
        for head in heads.values()
        for service in head.services.values()
        if service.address and (port := gateway_port(service))
        for written in service.routes
    )


def addresses(heads: Heads) -> set[str]:
    """The virtual addresses of the committed services."""
    return {service.address for head in heads.values() for service in head.services.values() if service.address}


def gateway_port(service: Service) -> int | None:
    """The port that the service's routes lead to; None if it has several and none is named for that."""
    ports = {port.name: port.number for port in service.ports}
    named = [ports[name] for name in GATEWAY_PORTS if name in ports]
    return next(iter(named or (ports.values() if len(ports) == 1 else ())), None)


def _led(service: Service, away: Collection[str]) -> dict[Place, tuple[Place, ...]]:
    up = sorted(instance.ip for instance in service.instances if instance.id not in away)
    return {
        (service.address, port.number): tuple((ip, port.number) for ip in up)
        for port in service.ports
        if service.address
    }


def _published(service: Service, away: Collection[str]) -> dict[int, tuple[Place, ...]]:
    """Where the ports of the host lead that the service has: everywhere where its own port leads to."""
    ports = {port.name: port.number for port in service.ports}
    led = {number: led for (_, number), led in _led(service, away).items()}
    return {int(at): led.get(ports[name], ()) for at, name in service.specification.publish.items()}


def _seen(view: View, head: Head | None, down: Collection[str]) -> dict[Place, tuple[Place, ...]]:
    """What a member of the view finds at its candidates' addresses: the ports of today's service are theirs no more."""
    before = head.services if head else {}
    names = [service.name for service in view.candidates]
    closed = {at: () for name in names if name in before for at in _led(before[name], ())}
    return {**closed, **{at: led for service in view.candidates for at, led in _led(service, down).items()}}


def _route(written: str, address: str, port: int) -> Route:
    host, _, path = written.partition("/")
    return Route(host, f"/{path}".rstrip("/"), f"{address}:{port}")
