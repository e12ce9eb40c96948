"""What makes an instance what it is, and how it is known to be ready."""

import hashlib
from collections.abc import Mapping

import msgspec

from daemon.manifest import Manifest, Service
from runtime.instance import Check

ROUTING = frozenset(
    {
        "after",
        "branch_secrets",
        "hooks",
        "image",
        "place",
        "ports",
        "publish",
        "pull",
        "ready",
        "replicas",
        "routes",
        "update",
    }
)
"""Settings that no instance feels: changing them replaces none."""

_LEFT_OUT = msgspec.to_builtins(Service())

HOST = "host"
"""What stands for image and digest of a service that runs as a process of the machine."""


def of(specification: Service, digest: str, manifest: Manifest, secrets: Mapping[str, int]) -> str:
    """A hash of all that an instance feels: its image's digest, its settings, its files, its volumes' layouts.

    The digest, not the image's name: a tag that moved is a change. On the host it is always HOST: a program that was
    exchanged under its name is none, and a restart would run it. What files contain, not where that came from; of
    secrets their versions, never their values. A setting that is left out is not part of it, so that a release which
    knows more settings replaces nothing.
    """
    felt = {key: value for key, value in msgspec.to_builtins(specification).items() if key not in ROUTING}
    files = {target: manifest.files[source] for target, source in specification.files.items()}
    felt |= {"files": files, "secrets": dict(secrets) or []}
    settings = {key: value for key, value in felt.items() if value != _LEFT_OUT.get(key)}
    volumes = manifest.volumes
    layouts = {name: volumes[name] for name in specification.volumes if name in volumes}
    whole = msgspec.json.encode([digest, settings, layouts], order="deterministic")
    return hashlib.sha256(whole).hexdigest()[:16]


def check(specification: Service) -> Check:
    """The readiness check, with ports by number; `http` without a port means the only, or first, port."""
    ready, ports = specification.ready, specification.ports
    if not ready:
        return Check()
    return Check(
        exec=ready.exec,
        tcp=ports[ready.tcp] if ready.tcp else None,
        http=ready.http,
        port=ports.get(ready.port or "", next(iter(ports.values()), None)) if ready.http else None,
        every=ready.every,
        timeout=ready.timeout,
    )
