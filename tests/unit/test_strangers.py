"""Strangers in the way: a container at an address that an instance is to have, a journal that nobody here can read."""

import asyncio

import pytest

from daemon.wire import Deploy, How, Stuck, TakenBack
from tests.law.cases import hosted, shop
from tests.law.law import prepared
from tests.law.scenarios import case
from tests.law.sound import head_of
from tests.law.world import boot, ignore, seen

ID = "op-cut"


def test_an_address_that_a_stranger_uses_is_not_chosen() -> None:
    world = prepared(case("replace a writer")).copy()
    chosen = world.copy()
    asyncio.run(boot(chosen).mutate(shop(db=2), How(op_id=ID), "ann", ignore))
    head = head_of(chosen)
    assert head
    [instance] = head.services["db"].instances
    world.instances.stranger("squatter", instance.ip)
    asyncio.run(boot(world).mutate(shop(db=2), How(op_id=ID), "ann", ignore))
    head = head_of(world)
    assert head
    assert head.services["db"].instances[0].ip != instance.ip


REPLACED = [("replace a writer", shop(db=2)), ("a process of the host that never gets ready", hosted(db=2))]


@pytest.mark.parametrize(("made", "request_"), REPLACED, ids=["a container", "a process of the host"])
def test_a_stranger_who_comes_later_is_told_and_everything_is_taken_back(made: str, request_: Deploy) -> None:
    world = prepared(case(made)).copy()
    before = seen(world)

    def squat(_touch: int) -> None:
        candidate = world.instances.instances.get(f"shop-db-1-{ID}")
        if candidate and "squatter" not in world.instances.instances:
            world.instances.stranger("squatter", candidate.specification.ip)

    world.meanwhile = squat
    with pytest.raises(TakenBack) as taken_back:
        asyncio.run(boot(world).mutate(request_, How(op_id=ID), "ann", ignore))
    assert taken_back.value.code == "address.taken"
    assert "squatter has its address" in taken_back.value.why
    del world.instances.instances["squatter"]
    assert seen(world) == before


@pytest.mark.parametrize("spoilt", [b"{}\n", b'{"operation":"op-odd","version":"9.0.0"}\n', b"\xff\n"])
def test_a_journal_that_cannot_be_read_is_listed_as_stuck(spoilt: bytes) -> None:
    world = prepared(case("replace a writer")).copy()
    (world.disk / "operations" / "op-odd.jsonl").write_bytes(spoilt)
    operations = boot(world)
    for rows in (operations.rows(all=False), operations.rows(all=True)):
        [row] = [row for row in rows if row.state == "stuck"]
        assert (row.id, row.code, "wrote its journal" in row.says) == ("op-odd", "operation.unreadable", True)
    assert len(operations.rows(all=True)) == 2  # the first deploy, and this one
    with pytest.raises(Stuck) as stuck:
        asyncio.run(operations.resume("op-odd", ignore))
    assert stuck.value.code == "operation.unreadable"
