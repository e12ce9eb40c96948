"""What is served, as a pure function of the committed heads and of what open operations see besides."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from daemon.node import View
from daemon.records import Head, Service
from dataplane.firewall import Maps, Target
from dataplane.gateway import Route

ZONE = "ployz.internal"


@dataclass(frozen=True)
class Projection:
    """Whole configurations: virtual addresses, names, routes."""

    maps: Maps
    hosts: Mapping[str, str]
    routes: tuple[Route, ...]


def project(heads: Iterable[Head], views: Iterable[View]) -> Projection:
    """Everybody is sent to the committed instances, members of a view to its candidates first."""
    committed, open_ = list(heads), list(views)
    withdrawn = {id for view in open_ for id in view.withdrawn}
    everybody = {
        (address, port): targets
        for head in committed
        for service in head.services.values()
        for address, port, targets in _sent(service, withdrawn)
    }
    members = {
        (source, address, port): targets
        for view in open_
        for source in view.members
        for service in view.candidates
        for address, port, targets in _sent(service, set())
    }
    instances = frozenset(target.ip for targets in [*everybody.values(), *members.values()] for target in targets)
    hosts = dict(name for head in committed for name in _names(head.namespace, head.services.values()))
    hosts |= dict(name for view in open_ for name in _names(view.namespace, view.candidates))
    routes = sorted({route for head in committed for route in _routes(head)}, key=lambda route: route.key)
    return Projection(Maps(everybody, members, instances), hosts, tuple(routes))


def _sent(service: Service, withdrawn: set[str]) -> Iterator[tuple[str, int, tuple[Target, ...]]]:
    up = [instance.ip for instance in service.instances if instance.id not in withdrawn]
    for port in service.ports if service.address and up else ():
        assert service.address
        yield service.address, port.number, tuple(Target(ip, port.number) for ip in up)


def _names(namespace: str, services: Iterable[Service]) -> Iterator[tuple[str, str]]:
    for service in services:
        if service.address:
            yield f"{service.name}.{namespace}.{ZONE}", service.address


def _routes(head: Head) -> Iterator[Route]:
    for service in head.services.values():
        ports = {port.name: port.number for port in service.ports}
        number = ports.get("web") or ports.get("http") or next(iter(ports.values()), None)
        for route in service.routes if service.address and number else ():
            host, _, path = route.partition("/")
            yield Route(host, f"/{path}" if path else "", f"{service.address}:{number}")
