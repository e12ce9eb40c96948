"""Two operations and one namespace: who is refused, who waits, and who resolves what a dead one left."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from daemon.contention import Contention
from daemon.operations import Operations
from daemon.peers.others import Fate
from daemon.records import CLUSTER, Claim
from daemon.store import Store
from daemon.wire import Branch, Deploy, How, Refused, Stuck, Success, TakenBack
from tests.law.cases import shop
from tests.law.law import prepared
from tests.law.scenarios import GENERATION, case
from tests.law.sound import head_of, require_sound
from tests.law.world import Crash, Cut, Halt, World, ask, boot, ignore, restart, seen

FIRST = "op-cut"


def scenario(test: Callable[[World, Operations], Coroutine[Any, Any, None]]) -> None:
    """In a world where shop is deployed, under a daemon that has just started."""
    world = prepared(case("replace a writer")).copy()

    async def whole() -> None:
        async with asyncio.timeout(20):
            await test(world, boot(world))

    asyncio.run(whole())
    require_sound(world, "in the end")


def asked(operations: Operations, request: Any, id: str, wait: float = 0.0) -> asyncio.Task[Success]:
    return asyncio.create_task(operations.mutate(request, How(op_id=id, wait=wait), "uid 1", ignore))


async def halted(world: World, operations: Operations, at: str) -> tuple[Halt, asyncio.Task[Success]]:
    halt = world.halt = Halt(at)
    task = asked(operations, shop(db=2), FIRST)
    await halt.reached.wait()
    return halt, task


@pytest.mark.parametrize("at", ["put operations", "engine stop", "engine create", "engine remove"])
def test_who_meets_a_claim_is_refused_and_told_whose_it_is(at: str) -> None:
    async def test(world: World, operations: Operations) -> None:
        halt, first = await halted(world, operations, at)
        touches = world.touches
        with pytest.raises(Refused) as refused:
            await asked(operations, shop(web="2"), "op-second")
        assert refused.value.code == "claim.held"
        assert refused.value.why == (
            "it is being changed by uid 1 since 2026-01-01T00:00:00.000Z (deploy, operation op-cut)"
        )
        assert refused.value.what == "cannot deploy shop"
        assert "--wait" in refused.value.hint
        assert world.touches == touches
        halt.go.set()
        assert (await first).kind == "deployed"
        assert (await asked(operations, shop(web="2", db=2), "op-second")).result["deploy"] == 3

    scenario(test)


def test_a_preview_tells_who_is_at_it() -> None:
    async def test(world: World, operations: Operations) -> None:
        async def warned(request: Any) -> list[str]:
            return (await operations.mutate(request, How(preview=True), "uid 1", ignore)).warnings

        halt, first = await halted(world, operations, "engine stop")
        doing = "shop: it is being changed by uid 1 since 2026-01-01T00:00:00.000Z (deploy, operation op-cut)"
        assert doing in await warned(shop(web="2"))
        assert doing in await warned(Branch("shop", "pr-42")), "also whoever only reads it"
        assert await warned(Deploy('namespace = "other"\n[services.web]\nimage = "web:1"')) == []
        halt.go.set()
        await first
        assert doing not in await warned(shop(web="2"))

    scenario(test)


def test_who_waits_goes_on_once_it_is_free() -> None:
    async def test(world: World, operations: Operations) -> None:
        halt, first = await halted(world, operations, "engine create")
        second = asked(operations, shop(web="2", db=2), "op-second", wait=15)
        third = asked(operations, shop(web="3", db=2), "op-third", wait=15)
        halt.go.set()
        numbers = [(await task).result["deploy"] for task in (first, second, third)]
        assert numbers[0] == 2
        assert sorted(numbers[1:]) == [3, 4]

    scenario(test)


def test_who_waited_in_vain_is_refused() -> None:
    async def test(world: World, operations: Operations) -> None:
        halt, first = await halted(world, operations, "engine create")
        with pytest.raises(Refused) as refused:
            await asked(operations, shop(web="2"), "op-second", wait=0.01)
        assert refused.value.code == "claim.held"
        halt.go.set()
        await first

    scenario(test)


def test_who_waits_can_be_aborted() -> None:
    async def test(world: World, operations: Operations) -> None:
        halt, first = await halted(world, operations, "engine create")
        second = asked(operations, shop(web="2"), "op-second", wait=15)
        while "op-second" not in operations.running:
            await asyncio.sleep(0)
        assert (await operations.abort("op-second")).kind == "aborted"
        with pytest.raises(Refused):
            await second
        assert world.holders() == [FIRST]
        halt.go.set()
        await first

    scenario(test)


def test_two_on_two_namespaces_do_not_meet() -> None:
    world = prepared(case("replace a writer")).copy()

    async def test() -> None:
        operations = boot(world)
        halt, first = await halted(world, operations, "engine create")
        other = Deploy(shop().manifest.replace('"shop"', '"other"'))
        assert (await asked(operations, other, "op-second")).kind == "deployed"
        assert world.holders() == [FIRST]
        halt.go.set()
        assert (await first).kind == "deployed"

    asyncio.run(test())


def test_twenty_branches_of_one_source_are_made_at_a_time() -> None:
    """None has an address that another has chosen."""
    world = prepared(case("replace a writer")).copy()

    async def test() -> None:
        operations = boot(world)
        branches = [asked(operations, Branch("shop", f"pr-{number}"), f"op-pr-{number}") for number in range(20)]
        assert {(await one).kind for one in branches} == {"branched"}

    asyncio.run(test())
    require_sound(world, "in the end")


def crashed(at: int) -> World:
    world = prepared(case("replace a writer")).copy()
    world.cut = Cut(at, "after", Crash)
    assert ask(world, shop(db=2), FIRST) == "crashed"
    world.cut = None
    return world


def test_a_claim_without_a_record_is_freed() -> None:
    world = crashed(1)
    assert world.holders() == [FIRST]
    assert not [key for key in world.kv.entries if key == f"operations.{FIRST}"]
    before = head_of(world)
    assert ask(world, shop(web="2"), "op-second") == "done"
    head = head_of(world)
    assert before
    assert head
    assert (head.deploy, head.operation) == (before.deploy + 1, "op-second")
    require_sound(world, "in the end")


def test_a_claim_without_a_record_is_freed_when_the_daemon_starts() -> None:
    world = crashed(1)
    assert restart(world, FIRST) == "refused"
    assert world.holders() == []


def test_what_is_stuck_holds_its_claim_and_whoever_comes_is_told() -> None:
    async def test(world: World, operations: Operations) -> None:
        world.zfs.busy.add(GENERATION)
        with pytest.raises(Stuck):
            await asked(operations, shop(db=666), FIRST)
        stuck = seen(world)
        for wait in (0.0, 15.0):
            with pytest.raises(Refused) as refused:
                await asked(operations, shop(web="2"), f"op-waits-{wait:g}", wait=wait)
            assert refused.value.code == "claim.stuck"
            assert refused.value.why == f"the operation {FIRST} (deploy by uid 1) is stuck in it"
            assert refused.value.hint == f"ployzctl op resume {FIRST}"
        assert seen(world) == stuck
        world.zfs.busy.clear()
        assert (await asked(operations, shop(web="2"), "op-second")).kind == "deployed"
        with pytest.raises(TakenBack):
            await operations.resume(FIRST, ignore)

    scenario(test)


def test_two_who_meet_a_dead_one_resolve_it_once() -> None:
    world = crashed(12)

    async def test() -> None:
        operations = boot(world)
        first = asked(operations, shop(web="2"), "op-second", wait=15)
        second = asked(operations, shop(web="3"), "op-third", wait=15)
        assert {(await task).kind for task in (first, second)} == {"deployed"}

    asyncio.run(test())
    require_sound(world, "in the end")


def test_another_machines_claim_is_left_to_it() -> None:
    async def test(world: World, operations: Operations) -> None:
        claim = Claim("op-far", "m2", "change", "deploy", "uid 7", "2026-01-01T00:00:00.000Z")
        await Store(world.kv).claim("shop", claim)
        with pytest.raises(Refused, match=r"uid 7 .*op-far"):
            await asked(operations, shop(web="2"), "op-second")
        await operations.bring_to_an_end()
        assert world.holders() == ["op-far"]
        await Store(world.kv).free("shop", "op-far")

    scenario(test)


class NobodyKnows:
    """The holders of claims, while the store cannot be asked what became of them."""

    async def fate(self, claim: Claim) -> Fate:
        raise Refused("store.down", "cannot reach the cluster's records")

    async def take_over(self, claim: Claim) -> Fate:
        raise AssertionError("nobody asked for that")


async def _moves() -> bool:
    return False


def test_a_store_that_is_down_is_not_told_as_a_stuck_operation() -> None:
    world = crashed(1)
    claim = Claim("op-second", "m1", "change", "deploy", "uid 1", "2026-01-01T00:00:00.000Z")
    contention = Contention(Store(world.kv), NobodyKnows(), _moves)
    with pytest.raises(Refused) as refused:
        asyncio.run(contention.take({"shop": "change"}, claim, How()))
    assert refused.value.code == "store.down"
    assert world.holders() == [FIRST]


def test_who_waits_goes_on_once_the_store_takes_changes_again() -> None:
    async def test(world: World, operations: Operations) -> None:
        store = Store(world.kv)
        await store.claim(CLUSTER, Claim("op-move", "m2", "change", "store.move", "uid 7", "2026-01-01T00:00:00.000Z"))
        await store.close("op-move")
        with pytest.raises(Refused) as refused:
            await asked(operations, shop(web="2"), "op-first")
        assert refused.value.code == "store.closed"
        waiting = asked(operations, shop(web="2"), "op-second", wait=15)
        assert not (await asyncio.wait({waiting}, timeout=0.3))[0], "closed, it is waited for"
        world.kv.sealed = True
        with pytest.raises(Refused) as refused:
            await asked(operations, shop(web="2"), "op-third")
        assert refused.value.code == "store.closed", "as it is for whoever comes while the records are on their way"
        assert not (await asyncio.wait({waiting}, timeout=0.3))[0], "sealed, it is waited for"
        world.kv.sealed = False
        await store.open("op-move")
        assert (await waiting).kind == "deployed"

    scenario(test)
