"""Secrets: the machine's key is there, opens all that is sealed, and what is opened stays in memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from daemon.doctor.assumption import Finding, failure, ok
from daemon.records import Namespace, Registry, Sealed
from dataplane.vault import VaultProblem

KEY = "bring vault/identity in the machine's data directory back as it was, before ployzd is started again"
ANEW = "ployzctl secret rotate, which has a machine that opens it seal it for this one too; if none does, set it anew"
MEMORY = "start ployzd again: it mounts one, and has there what instances see"


class Mirror(Protocol):
    """The records, as they were last told."""

    def namespaces(self) -> Mapping[str, Namespace]: ...
    def secrets(self, namespace: str) -> Mapping[tuple[str, int], Sealed]: ...
    def registries(self) -> Mapping[str, Registry]: ...


class Vault(Protocol):
    """`unseal` raises VaultProblem."""

    def lacks_key(self) -> str: ...
    def lacks_memory(self) -> str: ...
    def unseal(self, sealed: bytes) -> bytes: ...


async def readable(mirror: Mirror, vault: Vault) -> Finding:
    found = list(_sealed(mirror))
    closed = [name for name, sealed in found if not _opens(vault, sealed)]
    return judge(len(found), closed, vault.lacks_key(), vault.lacks_memory())


def judge(count: int, closed: Sequence[str], key: str, memory: str) -> Finding:
    """`count` are sealed, and `closed` names those that the key does not open; the others say what is lacking."""
    if closed:
        return failure(f"the key of this machine does not open {', '.join(closed)}", ANEW)
    if key:
        return failure(key, KEY)
    if memory:
        return failure(memory, MEMORY)
    return ok(f"the key of this machine opens all {count} that are sealed; opened, they are in memory only")


def _sealed(mirror: Mirror) -> Iterator[tuple[str, bytes]]:
    for namespace in sorted(mirror.namespaces()):
        for (name, version), sealed in sorted(mirror.secrets(namespace).items()):
            if sealed.ciphertext:
                yield f"version {version} of {namespace}/{name}", sealed.ciphertext
    for host, registry in sorted(mirror.registries().items()):
        if registry.user:
            yield f"the password of {registry.user} at {host}", registry.sealed


def _opens(vault: Vault, sealed: bytes) -> bool:
    try:
        vault.unseal(sealed)
    except VaultProblem:
        return False
    return True
