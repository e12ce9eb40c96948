"""What is secret, on its way: no journal and no operation's record has it, and a record is opened when it is used."""

from collections.abc import Callable
from typing import Any

import msgspec

from daemon.changing import registry
from daemon.primitives import secret_set
from daemon.store import Store
from daemon.wire import Join, RegistryLogin, SecretSet
from dataplane.vault import Vault
from runtime.instance import Credentials


def written(what: object, fingerprint: Callable[[bytes], str]) -> dict[str, Any]:
    """A request, or a plan, as journals and records have it.

    Of a value there is a fingerprint, so that the same request again is known as the same. What is sealed is left out
    of a plan: before the commit no step is ever done anew, and after it the store has it.
    """
    told: dict[str, Any] = msgspec.to_builtins(what)
    match what:
        case SecretSet(value=value):
            told["value"] = {"fingerprint": fingerprint(value)}
        case RegistryLogin(password=password):
            told["password"] = {"fingerprint": fingerprint(password)}
        case Join(token=token):
            told["token"] = {"fingerprint": fingerprint(token.encode())}
        case secret_set.Plan():
            del told["sealed"]["ciphertext"]
        case registry.Plan():
            told["registry"].pop("sealed", None)
    return told


async def credentials(store: Store, vault: Vault, host: str) -> Credentials | None:
    """Who the cluster is at a registry; None if nobody."""
    registry, _ = await store.registry(host)
    return Credentials(registry.user, vault.unseal(registry.sealed).decode()) if registry.user else None
