"""What is secret, on its way: nothing of it is written down of a request, and a record is opened when it is used."""

from collections.abc import Callable
from typing import Any

import msgspec

from daemon.store import Store
from daemon.wire import Mutation, RegistryLogin, SecretSet
from dataplane.vault import Vault
from runtime.instance import Credentials


def written(request: Mutation, fingerprint: Callable[[bytes], str]) -> dict[str, Any]:
    """The request as journals and records have it. Of a value there is a fingerprint, so that the same request again
    is known as the same."""
    told: dict[str, Any] = msgspec.to_builtins(request)
    if isinstance(request, SecretSet):
        told["value"] = {"fingerprint": fingerprint(request.value)}
    if isinstance(request, RegistryLogin):
        told["password"] = {"fingerprint": fingerprint(request.password)}
    return told


async def credentials(store: Store, vault: Vault, host: str) -> Credentials | None:
    """Who the cluster is at a registry; None if nobody."""
    registry, _ = await store.registry(host)
    return Credentials(registry.user, vault.unseal(registry.sealed).decode()) if registry.user else None
