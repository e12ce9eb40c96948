"""A volume has copies on other machines: what is left of each, what each is good for, and what is refused."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec import structs

from daemon.members import Members
from daemon.wire import How, Problem, Success, VolumePurge, VolumeSend
from tests.fakes.zfs import Kept
from tests.law import copying
from tests.law.copying import copies, sent
from tests.law.law import assert_same
from tests.law.leaving import lose, world_of
from tests.law.machines import SEND
from tests.law.sound import require_sound
from tests.law.world import ROOT, World, boot, ignore, seen


@pytest.mark.parametrize("scenario", copying.ALL, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[], None]) -> None:
    scenario()


def asked(world: World, request: VolumeSend | VolumePurge, *, preview: bool = False) -> Success:
    how = How(preview=True) if preview else How(op_id="op-asked")
    return asyncio.run(boot(world).mutate(request, how, "ann", ignore))


def refused(world: World, request: VolumeSend | VolumePurge) -> Problem:
    before = seen(world)
    with pytest.raises(Problem) as caught:
        asked(world, request)
    assert_same(seen(world), before, "refused, but")
    require_sound(world, "refused, but")
    return caught.value


def test_what_cannot_be_is_refused() -> None:
    world = world_of()
    assert refused(world, VolumeSend("shop", "data", "m2")).code == "send.there"
    assert refused(world, VolumeSend("shop", "data", "m9")).code == "machine.missing"
    assert refused(world, VolumeSend("shop", "nothing", "m1")).code == "volume.missing"
    assert refused(world, VolumeSend("nowhere", "data", "m1")).code == "namespace.missing"
    assert refused(world, VolumePurge("shop", "data", copy="m1")).code == "copy.missing"
    assert refused(world, VolumePurge("shop", "data", copy="m9")).code == "copy.missing"
    assert refused(world, VolumePurge("shop", "data", kept="op-0", copy="m1")).code == "purge.what"


def draining(world: World) -> None:
    asyncio.run(Members(world.kv).amend("m1", lambda now: structs.replace(now, state="draining")))


def full(world: World) -> None:
    world.zfs.full = True


@pytest.mark.parametrize(("happens", "code"), [(draining, "machine.draining"), (full, "pool.full")])
def test_a_target_that_cannot_take_it_is_refused(happens: Callable[[World], None], code: str) -> None:
    world = world_of()
    happens(world)
    assert refused(world, SEND).code == code


def test_a_stranger_in_the_way_is_refused_and_left_alone() -> None:
    world = world_of()
    world.zfs.kept[f"{ROOT}/shop"] = Kept(7, {"a stranger": b"1"})
    before = seen(world)
    with pytest.raises(Problem) as caught:
        asked(world, SEND)
    assert caught.value.code == "volume.foreign"
    assert_same(seen(world), before, "refused, but")


def test_a_machine_that_does_not_answer_gets_none() -> None:
    world = world_of()
    lose(world, "m3")
    with pytest.raises(Problem) as caught:
        asked(world, VolumeSend("shop", "data", "m3"))
    assert caught.value.code == "machine.unreachable"


def test_the_copy_of_what_does_not_answer_stays() -> None:
    world = world_of()
    sent(world, "m1", "op-send")
    lose(world, "m2")
    assert refused(world, VolumePurge("shop", "data", copy="m1")).code == "machine.unreachable"


def test_a_preview_says_how_much_goes_and_changes_nothing() -> None:
    world = world_of()
    before = seen(world)
    told = asked(world, SEND, preview=True).result
    [expected] = told["moves"]
    assert (expected["volume"], expected["from"], expected["to"]) == ("data", "m2", "m1")
    assert expected["bytes"] > 0
    assert expected["downtime_s"] == 0.0
    assert_same(seen(world), before, "after a preview,")


def test_the_same_again_is_the_same_operation() -> None:
    world = world_of()
    told = asked(world, SEND)
    after = seen(world)
    assert asked(world, SEND) == told
    assert_same(seen(world), after, "asked again, but")
    assert (told.result["machine"], told.result["did"], told.result["generation"]) == ("m1", "send", "op-asked")


def test_a_rate_is_for_each_stream() -> None:
    world = world_of()
    asked(world, structs.replace(SEND, rate=1000))
    assert set(world.iron("m2").transfers.rates) == {1000}


def test_a_copy_is_nobodys_to_write() -> None:
    world = world_of()
    sent(world, "m1", "op-send")
    name = copies(world)["m1"]
    assert not world.zfs.kept[name].mounted
    assert world.zfs.kept[name].properties["canmount"] == "noauto"
