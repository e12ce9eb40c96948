"""What is written down of a request: everything but what is secret in it, which only the daemon's memory ever has."""

from collections.abc import Callable
from typing import Any

import msgspec

from daemon.wire import Mutation, SecretSet


def written(request: Mutation, fingerprint: Callable[[bytes], str]) -> dict[str, Any]:
    """The request as journals and records have it. Of a value there is a fingerprint, so that the same request again
    is known as the same."""
    told: dict[str, Any] = msgspec.to_builtins(request)
    if isinstance(request, SecretSet):
        told["value"] = {"fingerprint": fingerprint(request.value)}
    return told
