"""Find what somebody named among the records, or say what there is that is called nearly so."""

from collections.abc import Iterable, Mapping, Sequence
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


def points(mirror: Mirror) -> list[DeployPoint]:
    """The replaced deploy points of all namespaces."""
    return [point for name in mirror.namespaces() for point in mirror.points(name)]


def namespace(mirror: Mirror, name: str, cannot: str) -> Head:
    """The head of a namespace. Raises Refused `namespace.missing`; `cannot` says what was to be done."""
    there = heads(mirror)
    if name not in there:
        raise no_namespace(name, there, f"cannot {cannot}", removed=bool(mirror.points(name)))
    return there[name]


def service(mirror: Mirror, where: str, name: str, cannot: str) -> Service:
    """A service of a namespace. Raises Refused `namespace.missing` and `service.missing`."""
    return service_of(namespace(mirror, where, cannot), name, f"cannot {cannot}")


def no_namespace(name: str, known: Iterable[str], what: str, *, removed: bool) -> Refused:
    """Refused `namespace.missing`: there are only those `known`; `what` cannot be done. One that was `removed` has a
    past."""
    if removed:
        why, hint = f"the namespace {name} was removed; its data is kept", f"ployzctl rollback {name} brings it back"
        return Refused("namespace.missing", what, why, hint)
    close = nearest(name, known)
    hint = f"did you mean {close}?" if close else "ployzctl status shows the namespaces that there are"
    return Refused("namespace.missing", what, f"there is no namespace {name}", hint)


def service_of(head: Head, name: str, what: str) -> Service:
    """A service of a head. Raises Refused `service.missing`."""
    if name not in head.services:
        close, where = nearest(name, head.services), head.namespace
        hint = f"did you mean {where}/{close}?" if close else f"ployzctl ps {where}"
        raise Refused("service.missing", what, f"there is no service {name} in {where}", hint)
    return head.services[name]
