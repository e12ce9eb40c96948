"""Which versions of its secrets a namespace sees, and which ones nothing names any more."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from daemon.change import Carried
from daemon.manifest import Manifest
from daemon.primitive import require
from daemon.records import Head, Machine, Namespace


def recipients(machines: Mapping[str, Machine]) -> tuple[str, ...]:
    """The public keys of the machines that shall open what is sealed from now on: all of those that stay."""
    return tuple(sorted(m.recipient for m in machines.values() if m.recipient and m.state not in ("lost", "leaving")))


def newest(record: Namespace) -> dict[str, int]:
    """The newest version of each secret that is not removed."""
    return {name: secret.version for name, secret in record.secrets.items() if not secret.removed}


def versions(record: Namespace, manifest: Manifest, named: Mapping[str, int] | None = None) -> dict[str, int]:
    """The version of each secret that a manifest names: of those `named`, else the newest. Raises Refused."""
    there = newest(record) if named is None else named
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


def carried(source: Head, there: Manifest, record: Namespace, manifest: Manifest, cannot: str) -> tuple[Carried, ...]:
    """What a branch with that record and manifest gets of the secrets of its source (`there` is its manifest).

    Those are the `branch_secrets` of the source, in the versions that run there, but for those that somebody set for
    the branch itself. Raises Refused `secret.missing` for what it sees besides.
    """
    own = {name for name in newest(record) if not record.secrets[name].carried}
    allowed = {name for service in there.services.values() for name in service.branch_secrets}
    seen = {name for service in manifest.services.values() for name in service.secrets} - own
    _require_none(seen - allowed, source, manifest, cannot)
    running = of(source)
    return tuple(Carried(name, source.namespace, running[name], _next(record, name)) for name in sorted(seen))


def _require_none(missing: AbstractSet[str], source: Head, manifest: Manifest, cannot: str) -> None:
    seen = {name: sorted(missing & {*service.secrets}) for name, service in manifest.services.items()}
    told = "; ".join(f"its service {service} sees {', '.join(names)}" for service, names in seen.items() if names)
    require(
        not missing,
        "secret.missing",
        cannot,
        f"{told}, which {source.namespace} does not name in branch_secrets and {manifest.namespace} has no value for",
        f"ployzctl secret set {manifest.namespace}/{next(iter(sorted(missing)), '')}",
    )


def _next(record: Namespace, name: str) -> int:
    return record.secrets[name].version + 1 if name in record.secrets else 1


def of(head: Head) -> dict[str, int]:
    """The versions that a head names. All of its services see the same version of a secret."""
    return {name: version for service in head.services.values() for name, version in service.secrets.items()}


def unnamed(secret: str, there: Iterable[int], record: Namespace, past: Iterable[Head]) -> list[int]:
    """The versions of a secret, among those that are there, that nothing names: no head, none of the past, not the
    newest."""
    heads = [*([record.head] if record.head else []), *past]
    named = {of(head).get(secret) for head in heads}
    return sorted(set(there) - named - {newest(record).get(secret)})
