"""Which versions of its secrets a namespace sees, and which ones nothing names any more."""

from collections.abc import Iterable, Mapping

from daemon.manifest import Manifest
from daemon.primitive import require
from daemon.records import DeployPoint, Head, Namespace


def versions(record: Namespace, manifest: Manifest, named: Mapping[str, int] | None = None) -> dict[str, int]:
    """The version of each secret that a manifest names: of those `named`, else the newest. Raises Refused."""
    newest = {name: secret.version for name, secret in record.secrets.items() if not secret.removed}
    there = newest if named is None else named
    for service, specification in manifest.services.items():
        for name in specification.secrets:
            require(
                name in there,
                "secret.missing",
                f"cannot deploy {manifest.namespace}",
                f"its service {service} names the secret {name}, which is not set",
                f"ployzctl secret set {manifest.namespace}/{name}",
            )
    return {name: there[name] for service in manifest.services.values() for name in service.secrets}


def of(head: Head) -> dict[str, int]:
    """The versions that a head names. All of its services see the same version of a secret."""
    return {name: version for service in head.services.values() for name, version in service.secrets.items()}


def unnamed(secret: str, there: Iterable[int], record: Namespace, points: Iterable[DeployPoint]) -> list[int]:
    """The versions of a secret, among those that are there, that nothing names: no head, no point, not the newest."""
    heads = [*([record.head] if record.head else []), *(point.head for point in points)]
    named = {of(head).get(secret) for head in heads}
    newest = record.secrets.get(secret)
    if newest and not newest.removed:
        named.add(newest.version)
    return sorted(set(there) - named)
