"""The records and their mirror over a real nats-server: an operation's whole way, and a restart without the store."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

from msgspec import structs

from daemon.mirror import Mirror
from daemon.records import DeployPoint, Namespace, Reservation, Token
from daemon.store import Store
from dataplane.bus import Bus
from dataplane.kv import Kv
from tests.adapters.buses import alone
from tests.fakes.records import CLUSTER, MACHINE, claim, head, operation

POINT = DeployPoint(head("op-0"), (), "op-1", "2026-01-01T00:00:00Z")


async def walk_all_the_way(store: Store) -> None:
    await store.found(CLUSTER, MACHINE)
    token = await store.claim("shop", claim("op-1"))
    assert isinstance(token, Token)
    assert await store.claim("shop", claim("op-2")) == claim("op-1")
    await store.begin(operation("op-1"))
    await store.reserve("address", "10.210.1.5", "op-1", "shop")
    await store.commit("shop", head("op-1"), "op-1", token)
    await store.commit("shop", head("op-1"), "op-1", token)
    assert await store.settle("shop", "op-1")
    await store.keep_point(POINT)
    await store.end(structs.replace(operation("op-1"), ending="done", ended_at="2026-01-01T00:01:00Z"))
    await store.free("shop", "op-1")


async def loaded(folder: Path, kv: Kv, before: Mirror) -> Mirror:
    """A mirror from what is on disk. What `before` was told last may still be on its way there."""
    until = time.monotonic() + 5
    while True:
        again = Mirror(folder, kv)
        again.load(CLUSTER.id)
        if again.namespaces() == before.namespaces() or time.monotonic() > until:
            return again
        await asyncio.sleep(0.01)


def test_an_operations_whole_way_and_its_mirror_without_the_store(tmp_path: Path) -> None:
    server = alone(tmp_path / "store")

    async def story() -> None:
        await server.ensure()
        bus = await Bus.connect(server.url, seed=server.seed(), inbox=server.inbox)
        kv = Kv(bus, "records")
        await kv.found()
        mirror = Mirror(tmp_path / "mirror", kv)
        following = asyncio.create_task(mirror.follow())
        store = Store(kv)
        await walk_all_the_way(store)
        assert await store.namespaces() == {"shop": Namespace(head("op-1"), by="op-1", last_deploy=1)}
        assert await store.reservations("address") == {"10.210.1.5": Reservation("op-1", "shop")}
        async with asyncio.timeout(5):
            while (
                mirror.namespaces() != {"shop": Namespace(head("op-1"), by="op-1", last_deploy=1)} or mirror.stale_since
            ):
                await asyncio.sleep(0.005)
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await server.stop()
        again = await loaded(tmp_path / "mirror", kv, mirror)
        assert again.namespaces() == mirror.namespaces()
        assert [one.ending for one in again.operations()] == ["done"]
        assert again.points("shop") == [POINT]
        assert again.stale_since
        await bus.close()

    asyncio.run(story())
