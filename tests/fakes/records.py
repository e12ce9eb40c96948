"""A store over a bucket in memory, with small records to put into it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from daemon.records import Claim, Cluster, Head, Machine, Operation, Token
from daemon.store import Store
from tests.fakes.kv import FakeKv, Late

CLUSTER = Cluster("net", "10.210.0.0/16", 1, "2026-01-01T00:00:00Z")
MACHINE = Machine("id-1", "m1", "10.210.1.0/24", "10.210.1.1", "2026-01-01T00:00:00Z", "0.1.0")


def claim(operation: str, kind: Literal["change", "read"] = "change") -> Claim:
    return Claim(operation, "m1", kind, "deploy", "ann", "2026-01-01T00:00:00Z")


def head(operation: str, namespace: str = "shop", deploy: int = 1) -> Head:
    return Head(namespace, deploy, operation, "2026-01-01T00:00:00Z", "ann", "namespace = 'shop'", {}, {})


def operation(id: str) -> Operation:
    return Operation(
        id, "deploy", {}, {}, {"shop": "change"}, {}, "m1", "ann", f"2026-01-01T00:00:0{id[-1]}Z", "0.1.0", 1
    )


async def founded(kv: FakeKv) -> Store:
    store = Store(kv)
    await store.found(CLUSTER, MACHINE)
    return store


def play(story: Callable[[Store, FakeKv, Late], Awaitable[None]]) -> None:
    async def played() -> None:
        late = Late()
        kv = FakeKv(late)
        await story(await founded(kv), kv, late)

    asyncio.run(played())


async def token_of(store: Store, who: Claim, namespace: str = "shop") -> Token:
    token = await store.claim(namespace, who)
    assert isinstance(token, Token)
    return token
