"""What has to be true between the fields of a manifest: every name leads somewhere, nothing contradicts itself."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from daemon.nearest import nearest
from daemon.shape import Fault, short

if TYPE_CHECKING:  # manifest asks us, not we it
    from daemon.manifest import Manifest, Service

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_ROUTE = re.compile(rf"(?P<host>{_LABEL}(\.{_LABEL})*)(?P<path>(/[A-Za-z0-9._~-]+)*)", re.ASCII)
_HTTP_PATH = re.compile(r"/[!-~]*", re.ASCII)
_SEND = "deploy -f FILE sends what a file beside the manifest contains; or write it under [files]"
_TARGET = re.compile(r"(/[^/:,\0-\x1f\x7f]+)+")


def faults(manifest: Manifest) -> Iterator[Fault]:
    """Everything that is wrong, services in the order of the manifest."""
    for name, service in manifest.services.items():
        yield from _runtime(name, service)
        yield from _commands(name, service)
        yield from _secrets(name, service)
        yield from _ports(name, service)
        yield from _readiness(name, service)
        yield from _volumes(name, service, manifest)
        yield from _relations(name, service, manifest)
        yield from _routes(name, service, manifest)
        yield from _published(name, service)
        yield from _files(name, service, manifest)
    yield from _unused_files(manifest)
    yield from _shared_ports(manifest)
    yield from _shared_volumes(manifest)
    yield from _shared_routes(manifest)
    yield from _cycles(manifest)


def _runtime(name: str, service: Service) -> Iterator[Fault]:
    """A container is made from an image; a process of the machine is a command, and nothing else of those."""
    if service.runtime == "docker":
        if not service.image:
            hint = 'name one; a program of the machine has runtime = "host"'
            yield _fault("missing", name, "image", "is missing", hint)
        return
    if service.command is None:
        yield _fault("missing", name, "command", 'is missing, which a service with runtime = "host" has to have')
    defaults = {"image": "", "entrypoint": None, "pull": "missing"}
    for key in (key for key, default in defaults.items() if getattr(service, key) != default):
        yield _fault("value", name, key, 'means nothing with runtime = "host", where no image is run', "leave it out")
    if service.devices:
        why = 'means nothing with runtime = "host": it sees all devices of the machine, and opens those its user may'
        yield _fault("value", name, "devices", why, "leave it out")


def _commands(name: str, service: Service) -> Iterator[Fault]:
    for key, words in (("command", service.command), ("entrypoint", service.entrypoint)):
        if words == ():
            yield _fault("value", name, key, "should not be empty", "leave it out")
    if service.workdir is not None and not _TARGET.fullmatch(service.workdir) and service.workdir != "/":
        yield _fault("value", name, "workdir", f"should be an absolute path, is {short(service.workdir)}")


def _secrets(name: str, service: Service) -> Iterator[Fault]:
    for at, secret in enumerate(service.secrets):
        if secret in service.secrets[:at]:
            yield _fault("value", name, f"secrets.{at}", f"is {short(secret)}, which is named before")
        if f"{secret}_FILE" in service.env:
            why = f"is where the file of the secret {secret} is told"
            yield _fault("value", name, f"env.{secret}_FILE", why, "leave it out")
    for at, secret in enumerate(service.branch_secrets):
        yield from _known("secret of this service", secret, service.secrets, (name, f"branch_secrets.{at}"))
        if secret in service.branch_secrets[:at]:
            yield _fault("value", name, f"branch_secrets.{at}", f"is {short(secret)}, which is named before")


def _ports(name: str, service: Service) -> Iterator[Fault]:
    first: dict[int, str] = {}
    for port, number in service.ports.items():
        if first.setdefault(number, port) != port:
            yield _fault("value", name, f"ports.{port}", f"is {number}, which the port {first[number]} is already")


def _readiness(name: str, service: Service) -> Iterator[Fault]:
    ready = service.ready
    if ready is None:
        return
    given = [key for key in ("exec", "tcp", "http") if getattr(ready, key) is not None]
    if len(given) != 1:
        yield _fault(
            "value", name, "ready", f"should have one of exec, tcp and http, has {' and '.join(given) or 'none'}"
        )
    if ready.exec == ():
        yield _fault("value", name, "ready.exec", "should not be empty")
    if ready.http is not None and not _HTTP_PATH.fullmatch(ready.http):
        yield _fault("value", name, "ready.http", f'should be a path such as "/healthz", is {short(ready.http)}')
    if (ready.http is None) != (ready.port is None):
        yield _fault("value", name, "ready.port", "should name the port for http, and be there only with http")
    for key, port in (("ready.tcp", ready.tcp), ("ready.port", ready.port)):
        if port is not None:
            yield from _known("port of this service", port, service.ports, (name, key))


def _volumes(name: str, service: Service, manifest: Manifest) -> Iterator[Fault]:
    targets: dict[str, str] = {}
    for volume, target in service.volumes.items():
        key = f"volumes.{volume}"
        if volume not in manifest.volumes:
            why = "is not declared" + _closest(volume, manifest.volumes)
            yield _fault("volume", name, key, why, f"add a section [volumes.{volume}]")
        if not _is_target(target):
            yield _fault("volume", name, key, f"should be mounted at an absolute path, is {short(target)}")
        if targets.setdefault(target, volume) != volume:
            yield _fault("volume", name, key, f"is mounted where {targets[target]} is already")
    if service.volumes and service.replicas != 1:
        why = f"is {service.replicas}, but two writers never share a volume"
        yield _fault("volume", name, "replicas", why, "leave replicas out, or take the volumes from this service")
    if service.volumes and service.update == "blue_green":
        why = "cannot be blue_green with volumes: the old and the new instance would write at the same time"
        yield _fault("volume", name, "update", why, 'update = "recreate", which is the default with volumes')


def _is_target(target: str) -> bool:
    return bool(_TARGET.fullmatch(target)) and not {".", ".."} & set(target.split("/"))


def _relations(name: str, service: Service, manifest: Manifest) -> Iterator[Fault]:
    for at, other in enumerate(service.after):
        yield from _known("service", other, manifest.services, (name, f"after.{at}"))
    for at, other in enumerate(service.hooks.changes):
        yield from _changed(other, manifest, (name, f"hooks.changes.{at}"))
    if service.hooks.changes and not service.hooks.before:
        yield _fault("value", name, "hooks.changes", "says what hooks.before changes, but there is no hooks.before")


def _changed(other: str, manifest: Manifest, place: tuple[str, str]) -> Iterator[Fault]:
    yield from _known("service", other, manifest.services, place)
    if other in manifest.services and not manifest.services[other].volumes:
        yield _fault("reference", *place, f"names {other}, which has no volumes that could change")


def _known(kind: str, wanted: str, known: Iterable[str], place: tuple[str, str]) -> Iterator[Fault]:
    if wanted not in known:
        yield _fault("reference", *place, f"names {short(wanted)}, which is no {kind}{_closest(wanted, known)}")


def _closest(wanted: str, known: Iterable[str]) -> str:
    close = nearest(wanted, known)
    return f"; the nearest is {close}" if close else ""


def _routes(name: str, service: Service, manifest: Manifest) -> Iterator[Fault]:
    if service.routes and not service.ports:
        yield _fault("reference", name, "routes", "lead to this service, which has no ports", "ports = { web = 8080 }")
    for at, route in enumerate(manifest.routes(name)):
        found = _ROUTE.fullmatch(route)
        if not found or len(found["host"]) > 253 or {".", ".."} & set(found["path"].split("/")):
            why = f'should be like "shop.example.com" or "shop.example.com/api", in small letters, is {short(route)}'
            yield _fault("value", name, f"routes.{at}", why)


def _published(name: str, service: Service) -> Iterator[Fault]:
    for number, port in service.publish.items():
        yield from _known("port of this service", port, service.ports, (name, f"publish.{number}"))


def _files(name: str, service: Service, manifest: Manifest) -> Iterator[Fault]:
    for target, source in service.files.items():
        place = ("services", name, "files", target)
        if not _is_target(target):
            yield Fault("value", place, f"should be an absolute path, is {short(target)}")
        for volume, at in service.volumes.items():
            if f"{target}/".startswith(f"{at}/") or f"{at}/".startswith(f"{target}/"):
                why = (
                    f"and the volume {volume} at {at} cannot lie in each other: the file would be written into the data"
                )
                yield Fault("volume", place, why, "another path")
        if source not in manifest.files:
            yield Fault("reference", place, f"names {short(source)}, whose content is not there", _SEND)


def _unused_files(manifest: Manifest) -> Iterator[Fault]:
    named = {source for service in manifest.services.values() for source in service.files.values()}
    for source in manifest.files:
        if source not in named:
            yield Fault("reference", ("files", source), "is a file of no service", "leave it out")


def _shared_ports(manifest: Manifest) -> Iterator[Fault]:
    first: dict[str, str] = {}
    for name, service in manifest.services.items():
        for number in service.publish:
            if first.setdefault(number, name) != name:
                why = f"is a port of the host that the service {first[number]} has already"
                yield _fault("value", name, f"publish.{number}", why, "another port of the host")


def _shared_volumes(manifest: Manifest) -> Iterator[Fault]:
    users: defaultdict[str, list[str]] = defaultdict(list)
    for name, service in manifest.services.items():
        for volume in service.volumes:
            users[volume].append(name)
    for volume, names in users.items():
        for name in names[1:]:
            why = f"is also a volume of {names[0]}, but two writers never share a volume"
            yield _fault("volume", name, f"volumes.{volume}", why, "give each service a volume of its own")


def _shared_routes(manifest: Manifest) -> Iterator[Fault]:
    first: dict[str, str] = {}
    for name in manifest.services:
        for at, route in enumerate(manifest.routes(name)):
            place = f"services.{name}.routes.{at}"
            if first.setdefault(route, place) != place:
                yield _fault("value", name, f"routes.{at}", f"is {short(route)}, as {first[route]} is already")


def _cycles(manifest: Manifest) -> Iterator[Fault]:
    try:
        TopologicalSorter(manifest.order).prepare()
    except CycleError as found:
        cycle = list(reversed(found.args[1]))
        yield _fault("cycle", cycle[0], "after", f"goes round in a cycle: {' after '.join(cycle)}")


def _fault(code: str, service: str, key: str, why: str, hint: str = "") -> Fault:
    return Fault(code, ("services", service, *key.split(".")), why, hint)
