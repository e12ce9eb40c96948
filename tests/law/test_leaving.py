"""A machine is removed: with everything moved off it first; or by force, once it is gone, with what only it had."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress

import pytest
from msgspec import structs

from daemon.members import Members
from daemon.migrating import Plan
from daemon.records import Claim
from daemon.store import Store
from daemon.wire import Forgo, How, NamespaceRm, Problem, Rollback, VolumeSend
from tests.fakes.zfs import Kept
from tests.law import leaving
from tests.law.law import FAILURES, assert_same
from tests.law.leaving import (
    BACK,
    cut_short,
    keepers,
    lose,
    losses,
    names,
    refused,
    removed,
    rows,
    shared,
    world_of,
)
from tests.law.machines import THERE, shop
from tests.law.sound import head_of, require_sound
from tests.law.world import NOW, ROOT, Crash, Cut, World, ask, boot, ignore, restart, seen

EVERY = int(os.environ.get("PLOYZ_LAW_EVERY", "7"))
"""Of the cuts each so many is tried (PLOYZ_LAW_EVERY=1)."""


@pytest.mark.parametrize("scenario", leaving.ALL, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[], None]) -> None:
    scenario()


# ------------------------------------------------------------------------------------------------ while it is there


def test_all_that_is_there_is_moved_off_first() -> None:
    world = world_of(shop(), shop(db=2))
    assert removed(world).result["fenced"]
    assert names(world) == {"m1", "m3"}
    assert world.mesh.dismissed == ["m2"]
    assert {"row 0", "row 1"} <= rows(world)
    lose(world)
    require_sound(world, "removed, but")
    asyncio.run(boot(world).mutate(Rollback("shop"), How(), "ann", ignore))
    assert rows(world) == {"row 0"}, "the data of deploy points came along"


def test_as_long_as_something_has_no_place_elsewhere_nothing_is_moved() -> None:
    world = world_of()
    for name in ("m1", "m3"):
        world.iron(name).zfs.full = True
    before = seen(world)
    failure = refused(world)
    assert (failure.code, names(world)) == ("machine.occupied", {"m1", "m2", "m3"})
    assert "shop/db cannot be moved: no machine fits: m1: the pool of m1 is 100 % full" in failure.why
    assert_same(seen(world), before, "refused, but")


def test_what_fits_alone_and_not_together_is_not_moved() -> None:
    world = world_of(shop(), shop(namespace="other"))
    for namespace in ("shop", "other"):
        head = head_of(world, namespace)
        assert head
        generation = f"{ROOT}/{namespace}/data/{head.volumes['data'].generation}"
        world.iron("m2").zfs.kept[generation].content["much"] = bytes(1000)
    world.iron("m1").zfs.limit = world.iron("m3").zfs.limit = 2000
    goals = asyncio.run(keepers(world).draining.planned("m2", "ann"))
    assert {str(one): plan.to for one, plan in goals.items() if isinstance(plan, Plan) and plan.moves} == {
        "other/db": "m1",
        "shop/db": "m3",
    }
    world.iron("m3").zfs.full = True
    before = seen(world)
    failure = refused(world)
    assert (failure.code, names(world)) == ("machine.occupied", {"m1", "m2", "m3"})
    assert failure.why.startswith("shop/db cannot be moved: no machine fits: m1: the pool of m1 is")
    assert_same(seen(world), before, "refused, but")


def test_what_a_rollback_left_there_goes_along() -> None:
    world = world_of(shop(), shop(db=2), Rollback("shop"))
    assert removed(world).result["fenced"]
    lose(world)
    assert ask(world, Rollback("shop", to=2), "op-back") == "done"
    assert rows(world) == {"row 0", "row 1"}
    require_sound(world, "rolled back without the machine, but")


def test_a_copy_goes_with_its_machine_and_that_is_said() -> None:
    world = world_of(shop(), VolumeSend("shop", "data", "m3"))
    assert "the copy of shop/data on m3 goes with it" in removed(world, "m3").warnings
    assert names(world) == {"m1", "m2"}


def test_a_named_snapshot_of_what_was_removed_keeps_it() -> None:
    world = world_of()
    site = world.iron("m2").zfs
    site.kept[f"{ROOT}/shop/data/op-0@op-1"] = Kept(
        9_999, {"row": b"named"}, {"operation": "op-1", "name": "before", "namespace": "shop", "volume": "data"}
    )
    assert losses(world)["shop/data"].snapshots == ["before"]


def test_a_preview_shows_what_is_moved_and_what_comes_then() -> None:
    world = world_of()
    before = seen(world)
    told = removed(world, preview=True)
    assert told.result["primitive"] == "machine.drain"
    assert told.warnings[-1] == "then m2 is removed, by an operation of its own"
    assert_same(seen(world), before, "after a preview,")


def held(world: World, machine: str) -> tuple[Claim, ...]:
    """An operation of that machine was cut between its claim and its record."""
    asyncio.run(Store(world.kv).claim("held", Claim("op-held", machine, "change", "deploy", "bea", NOW)))
    return asyncio.run(Store(world.kv).claims())["held"]


@pytest.mark.parametrize("there", [True, False], ids=["there", "gone"])
def test_what_it_has_begun_is_brought_to_its_end(there: bool) -> None:
    world = world_of()
    assert held(world, "m2")
    if not there:
        lose(world)
    removed(world, force=not there, accept=("shop/data",))
    assert asyncio.run(Store(world.kv).claims())["held"] == ()


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
def test_wherever_its_removal_is_cut_the_same_again_goes_on(failure: type[BaseException]) -> None:
    """It is there, with data: that is moved off it, and then it leaves."""
    world = world_of(shop(), shop(db=2))
    removed(world)
    for cut in shared(world.touches, failure):
        world = world_of(shop(), shop(db=2))
        with cut_short(world, cut):
            removed(world)
        if "m2" in names(world):
            require_sound(world, f"{cut}, and up again, but")
            removed(world, id="op-again")
        assert names(world) == {"m1", "m3"}
        assert {"row 0", "row 1"} <= rows(world)
        lose(world)
        require_sound(world, f"{cut}, and removed again, but")
        world.close()


# --------------------------------------------------------------------------------------------- once it is gone for good


def test_without_a_copy_a_volume_is_lost_and_its_name_begins_anew() -> None:
    world = world_of()
    lose(world)
    told = removed(world, force=True, accept=("shop/data",))
    assert not told.result["fenced"]
    assert names(world) == {"m1", "m3"}
    head = head_of(world)
    assert head
    assert (set(head.volumes), head.services["db"].instances) == ({"cached"}, ())
    again = shop()
    assert ask(world, structs.replace(again, manifest=again.manifest.replace('"m2"', '"m1"')), "op-anew") == "done"
    assert rows(world) == set()
    require_sound(world, "deployed anew, but")


def test_what_is_not_ours_is_nothing_to_go_on_from() -> None:
    world = world_of()
    there = world.iron("m3").zfs.kept
    for name in (f"{ROOT}/shop", f"{ROOT}/shop/data", f"{ROOT}/shop/data/mine", f"{ROOT}/shop/data/mine@now"):
        there.setdefault(name, Kept(9_999, {"row": b"a stranger's"}))
    lose(world)
    assert losses(world)["shop/data"].instead is None


def test_wherever_that_is_cut_the_same_again_goes_on() -> None:
    at = 1
    while True:
        world = world_of(shop(), THERE, BACK)
        lose(world)
        world.cut, begun = Cut(world.touches + at, "after", Crash), world.touches
        with suppress(Problem, Crash):
            removed(world, force=True, accept=("shop/data",))
        if not world.was_cut:
            break
        world.cut = None
        restart(world, "op-rm")
        if "m2" in names(world):  # what was taken back under its id stays so
            removed(world, force=True, accept=("shop/data",), id="op-again")
        assert names(world) == {"m1", "m3"}
        assert rows(world) == {"row 0", "row 1"}
        require_sound(world, f"cut at {at} of {begun}, but")
        at += EVERY
        world.close()
    assert at > 20


def test_one_that_was_lost_is_so_also_where_it_answers_again() -> None:
    world = world_of()

    def told() -> bool:
        return bool(asyncio.run(keepers(world).losses("m2")).result["reachable"])

    assert told()
    asyncio.run(Members(world.kv).amend("m2", lambda now: structs.replace(now, state="lost")))
    assert not told()


def test_one_that_answers_is_not_forgone() -> None:
    world = world_of()
    with pytest.raises(Problem) as caught:
        asyncio.run(boot(world).mutate(Forgo("shop", "m2"), How(), "ann", ignore))
    assert caught.value.code == "machine.answers"
    lose(world, "m3")
    assert ask(world, NamespaceRm("shop", purge=True), "op-purge") == "refused"
    with pytest.raises(Problem) as caught:
        asyncio.run(boot(world).mutate(Forgo("shop", "m9"), How(), "ann", ignore))
    assert caught.value.code == "forgo.nothing"
