"""Find what somebody named among the records, or say what there is that is called nearly so."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from daemon.nearest import nearest
from daemon.records import Cluster, DeployPoint, Head, Machine, Namespace, Registry, Sealed, Service
from daemon.wire import Refused


class Mirror(Protocol):
    """The records as they were last told. Since `stale_since` (RFC 3339) changes may be missing."""

    @property
    def stale_since(self) -> str | None: ...
    def cluster(self) -> Cluster | None: ...
    def machines(self) -> Mapping[str, Machine]: ...
    def namespaces(self) -> Mapping[str, Namespace]: ...
    def points(self, namespace: str) -> Sequence[DeployPoint]: ...
    def registries(self) -> Mapping[str, Registry]: ...
    def secrets(self, namespace: str) -> Mapping[tuple[str, int], Sealed]: ...


def heads(mirror: Mirror) -> dict[str, Head]:
    """The namespaces that there are, by name; a record without a head is none."""
    return {name: record.head for name, record in sorted(mirror.namespaces().items()) if record.head}


def namespace(mirror: Mirror, name: str, cannot: str) -> Head:
    """The head of a namespace. Raises Refused `namespace.missing`; `cannot` says what was to be done."""
    there = heads(mirror)
    if name not in there:
        close = nearest(name, there)
        hint = f"did you mean {close}?" if close else "ployzctl status shows the namespaces that there are"
        raise Refused("namespace.missing", f"cannot {cannot}", f"there is no namespace {name}", hint)
    return there[name]


def service(mirror: Mirror, where: str, name: str, cannot: str) -> Service:
    """A service of a namespace. Raises Refused `namespace.missing` and `service.missing`."""
    services = namespace(mirror, where, cannot).services
    if name not in services:
        close = nearest(name, services)
        hint = f"did you mean {where}/{close}?" if close else f"ployzctl ps {where}"
        raise Refused("service.missing", f"cannot {cannot}", f"there is no service {name} in {where}", hint)
    return services[name]
