"""Whoever is back learns what became of operations that it had a part in, also where the store is back only later."""

import asyncio

import pytest

from daemon import coming_back
from daemon.coming_back import follow
from daemon.peers.calls import Part
from daemon.records import Turn
from daemon.wire import How, SecretSet
from tests.law.world import boot, founded, ignore


def test_endings_are_asked_for_until_the_store_is_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coming_back, "AGAIN", 0.001)
    world = founded(machines=2)

    async def story() -> None:
        operations, back = boot(world), asyncio.Event()
        await operations.mutate(SecretSet("shop", "KEY", b"x"), How(op_id="op-1"), "ann", ignore)
        assert world.participant
        await world.participant.fence("op-1", Part({}, Turn(0, 1)))
        world.kv.state = "down"
        following = asyncio.create_task(follow(back, world.participant, operations))
        back.set()
        await asyncio.sleep(0.02)
        assert list(world.disk.glob("asked/*.entry"))
        world.kv.state = "up"
        async with asyncio.timeout(5):
            while list(world.disk.glob("asked/*.entry")):
                await asyncio.sleep(0.001)
        following.cancel()

    asyncio.run(story())
