"""What holds of a database that moves from machine to machine, as scenarios for tests and for the hunt."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from daemon import sending
from daemon.journal import Story
from daemon.wire import Migrate, NamespaceRm, Rollback, VolumePurge, VolumeRestore, VolumeSend
from tests.fakes.zfs import Kept
from tests.law import full_pool
from tests.law.cases import Case
from tests.law.law import ID, OVER, assert_same, prepared, resolved, uncut
from tests.law.machines import BACK, CASES, NAMED, ON, THERE, shop
from tests.law.scenarios import require_no_row_lost
from tests.law.sound import head_of, in_common, require_sound
from tests.law.world import ROOT, Crash, Cut, World, ask, restart, seen

FOLDER = f"{ROOT}/shop/data"
EVERY = int(os.environ.get("PLOYZ_LAW_EVERY", "7"))
"""Of the touches each so many is tried (PLOYZ_LAW_EVERY=1: all)."""


def case(name: str) -> Case:
    [found] = [case for case in CASES if case.name == name]
    return found


def moved(world: World, *to: str, first: int = 0) -> None:
    """Move the database from machine to machine, in moves numbered from `first`; a row is written on each of them."""
    for number, name in enumerate(to, first):
        assert ask(world, Migrate("shop", "db", name), f"op-move-{number}-{name}") == "done"
        require_sound(world, f"moved to {name}, but")
        head = head_of(world)
        assert head
        assert (head.volumes["data"].machine, head.services["db"].instances[0].machine) == (name, name)
        world.write_row(f"row of {name}, {number}")


def present(world: World) -> dict[str, bytes]:
    """What is in the volume now."""
    head = head_of(world)
    assert head
    volume = head.volumes["data"]
    return world.iron(volume.machine).zfs.kept[f"{FOLDER}/{volume.generation}"].content


def generations(world: World) -> dict[str, list[str]]:
    """The generations of the volume on each machine."""
    kept = {one.name: one.zfs.kept for one in world.irons()}
    return {
        name: [dataset for dataset in found if dataset.startswith(f"{FOLDER}/") and "@" not in dataset]
        for name, found in kept.items()
    }


def bases(world: World) -> dict[str, list[str]]:
    """The guids of the snapshots that are left of moves, on each machine."""
    return {
        one.name: sorted(kept.guid for kept in one.zfs.kept.values() if kept.marks.get("state") == "base")
        for one in world.irons()
    }


def surplus(world: World) -> dict[str, set[str]]:
    """Those of them that are not the newest of the volume which another machine has too."""
    return {iron.name: {*bases(world)[iron.name]} - in_common(iron, world) for iron in world.irons()}


NOTHING: dict[str, set[str]] = {"m1": set(), "m2": set(), "m3": set()}


def a_target_that_fills_up_keeps_nobody_from_being_served() -> None:
    again = Case("move a database to where it was", (shop(), THERE, BACK, shop(db=2)), THERE, machines=3)
    for moving in (case("move a database"), again):
        for at in range(1, uncut(moving)[1] + 1, EVERY):
            full_pool.require_honest(moving, at)


def no_row_is_lost_on_the_way() -> None:
    for name in ("move a database", "move a database back"):
        require_no_row_lost(case(name), EVERY)


def a_line_that_breaks_is_gone_on_with_or_nothing_of_it_stays() -> None:
    """From some touch on: three streams break, or one does and the line is down for good."""
    for name in ("move a database", "move a database back"):
        for at in range(1, uncut(case(name))[1] + 1, EVERY):
            require_line(case(name), at, breaks=3, down=False)
            require_line(case(name), at, breaks=1, down=True)


def require_line(moving: Case, at: int, *, breaks: int, down: bool) -> None:
    """On a line that does so from this touch on it ends as ever, or is as if it had not begun."""
    world = prepared(moving).copy()
    before, after = seen(world), uncut(moving)[2]
    world.meanwhile = partial(_spoil, world, at, breaks, down)
    with impatient():
        ending = ask(world, moving.ask, ID)
    said = f"{moving.name}, {breaks} streams break from touch {at} on{', then all' if down else ''}: {ending}, but"
    assert ending in OVER, said
    assert ending == "done" or down, said
    assert_same(seen(world), after if ending == "done" else before, said)
    require_sound(world, said)


def _spoil(world: World, at: int, breaks: int, down: bool, touch: int) -> None:
    if touch == at:
        world.shared.wires.breaks, world.shared.wires.down = breaks, down


@contextmanager
def impatient() -> Iterator[None]:
    """Nobody waits before a stream is sent again."""
    before, sending.AGAIN = sending.AGAIN, (0.0,) * len(sending.AGAIN)
    yield
    sending.AGAIN = before


def to_and_fro_leaves_one_generation_each_and_what_they_have_in_common() -> None:
    world = prepared(Case("to and fro", (shop(),), shop(), machines=3)).copy()
    before = head_of(world)
    moved(world, "m1", "m2", "m1", "m2")
    after = head_of(world)
    assert before
    assert after
    assert (after.deploy, after.manifest) == (before.deploy, before.manifest)
    assert after.volumes["data"].epoch == before.volumes["data"].epoch + 4
    assert set(present(world)) == {"row 0", *(f"row of {'m1' if n % 2 == 0 else 'm2'}, {n}" for n in range(4))}
    assert {name: len(found) for name, found in generations(world).items()} == {"m1": 1, "m2": 1, "m3": 0}
    left = bases(world)
    assert left["m1"] == left["m2"]
    assert len(left["m1"]) == 1


def a_point_of_before_is_rolled_back_to_without_the_machine_that_it_was_on() -> None:
    world = prepared(Case("without it", (shop(), shop(db=2)), shop(), machines=3)).copy()
    moved(world, "m1")
    there = world.iron("m2").zfs.kept
    for name in [one for one in there if one.startswith(f"{ROOT}/shop")]:
        del there[name]
    assert ask(world, Rollback("shop"), "op-back") == "done"
    assert set(present(world)) == {"row 0"}
    moved(world, "m3")


def what_a_rollback_left_goes_along() -> None:
    """Also in several moves, back to where it still is, and without the machine that it came from."""
    world = prepared(Case("left", (shop(), shop(db=2), Rollback("shop")), shop(), machines=3)).copy()
    moved(world, "m1", "m2", "m3")
    for name in ("m1", "m2"):
        there = world.iron(name).zfs.kept
        for dataset in [one for one in there if one.startswith(f"{ROOT}/shop/data")]:
            del there[dataset]
    assert ask(world, Rollback("shop", to=2), "op-forth") == "done"
    assert set(present(world)) == {"row 0", "row 1"}


def what_came_stays_where_its_source_has_gone() -> None:
    """It may be the last copy: the operation is stuck, and says so, until the source is there again."""
    moving = case("move a database")
    world = prepared(moving).copy()
    world.cut = Cut(40, "before", Crash)
    assert ask(world, THERE, ID) == "crashed"
    [came] = generations(world)["m1"]
    there = world.iron("m2").zfs.kept
    gone = {name: there.pop(name) for name in list(there) if name.startswith(f"{FOLDER}/")}
    assert restart(world, ID) == "stuck"
    story = Story.read(world.disk / "operations" / f"{ID}.jsonl")
    assert story
    assert "may be the last copy" in story.events[-1].why
    assert came in world.zfs.kept
    there.update(gone)
    assert restart(world, ID) == "taken back"
    assert generations(world)["m1"] == []


def what_two_machines_have_in_common_outlives_deploys_that_forget() -> None:
    world = prepared(Case("in common", (shop(keep=1),), shop(), machines=3)).copy()
    moved(world, "m1")
    for number, db in enumerate((2, 3, 4)):
        assert ask(world, shop(db=db, keep=1), f"op-deploy-{number}") == "done"
        require_sound(world, "deployed after a move, but")
    assert bases(world)["m1"] == bases(world)["m2"] != []
    moved(world, "m2")
    assert {name: len(found) for name, found in generations(world).items()} == {"m1": 1, "m2": 1, "m3": 0}


def what_two_machines_have_in_common_outlives_what_was_restored_from_it() -> None:
    world = prepared(Case("in common", (shop(),), shop(), machines=3)).copy()
    moved(world, "m1")
    left = bases(world)
    [base] = [name for name, one in world.iron("m2").zfs.kept.items() if one.marks.get("state") == "base"]
    restore = VolumeRestore("shop", "data", base.partition("@")[2], "again", "data")
    assert ask(world, restore, "op-restore") == "done"
    assert ask(world, NamespaceRm("again", purge=True), "op-purge") == "done"
    require_sound(world, "purged what was restored, but")
    assert bases(world) == left


def what_is_in_common_no_more_is_freed_with_a_deploy_point_wherever_it_is() -> None:
    """On the third machine too, which had no part in what has happened since."""
    world = prepared(Case("in common no more", (shop(keep=1),), shop(), machines=3)).copy()
    moved(world, "m1", "m3", "m1", "m2")
    for db in (2, 3):
        assert ask(world, shop(db=db, keep=1), f"op-deploy-{db}") == "done"
        require_sound(world, "deployed after moves, but")
    assert surplus(world) == NOTHING
    assert all(bases(world).values())


def what_is_in_common_no_more_goes_with_the_move() -> None:
    """Also on the third machine; if that does not answer, with the next move."""
    world = prepared(Case("surplus", (shop(),), shop(), machines=3)).copy()
    moved(world, "m1", "m3", "m1", "m2")
    assert surplus(world) == NOTHING
    assert {name: len(found) for name, found in bases(world).items()} == {"m1": 2, "m2": 2, "m3": 1}
    before = {*world.shared.wires.sent}
    moved(world, "m3", first=4)
    came = [one for word, one in world.shared.wires.sent.items() if word not in before]
    assert all(one and one.base for one in came), "what is left there is what it began with"
    moved(world, "m1", first=5)
    away = world.sites.pop("m3")
    world.mesh.away.add("m3")
    assert ask(world, BACK, "op-without-m3") == "done"
    world.sites["m3"] = away
    world.mesh.away.clear()
    assert surplus(world)["m3"]
    moved(world, "m1", first=7)
    assert surplus(world) == NOTHING
    world = prepared(
        Case("surplus of a rollback", (shop(), shop(db=2), THERE, Rollback("shop")), BACK, machines=3)
    ).copy()
    moved(world, "m2")
    assert surplus(world) == NOTHING, "nor in what a rollback left"


def what_was_removed_comes_back_where_it_was_last() -> None:
    """With the data of any point of it, which went along; where that was before need not be there any more."""
    world = prepared(Case("removed", (shop(), shop(db=2)), shop(), machines=3)).copy()
    moved(world, "m1")
    assert ask(world, NamespaceRm("shop"), "op-remove") == "done"
    assert ask(world, Rollback("shop", 1), "op-again") == "done"
    head = head_of(world)
    assert head
    assert head.volumes["data"].machine == "m1"
    require_sound(world, "removed, and back, but")


def what_somebody_named_goes_along_and_is_purged_wherever_it_is() -> None:
    """Also of what a rollback left; a copy has it, too."""
    named = (shop(), shop(db=2), NAMED, Rollback("shop"))
    world = prepared(Case("named", named, shop(), machines=3)).copy()
    moved(world, "m1", "m2")
    assert ask(world, VolumeSend("shop", "data", "m3"), "op-send") == "done"
    assert {iron.name for iron in world.irons() if any(map(_is_named, iron.zfs.kept.values()))} == {"m1", "m2", "m3"}
    assert ask(world, VolumePurge("shop", "data", "before"), "op-purge") == "done"
    require_sound(world, "purged, but")
    assert not any(_is_named(one) for iron in world.irons() for one in iron.zfs.kept.values())


def _is_named(dataset: Kept) -> bool:
    return "name" in dataset.marks


def wherever_the_end_of_a_move_is_cut_that_goes_all_the_same() -> None:
    moving = Case("surplus, cut", (shop(), THERE, ON, THERE), BACK, machines=3)
    last = uncut(moving)[1]
    for at in range(last * 3 // 4, last + 1):
        world = prepared(moving).copy()
        assert resolved(world, moving, Cut(at, "before", Crash), 0) == "done"
        require_sound(world, f"moved, cut at {at}, but")
        assert surplus(world) == NOTHING
        world.close()


def what_was_left_is_purged_and_then_nothing_is_kept_for_it() -> None:
    """Its deploy points have their data where the volume is now."""
    world = prepared(Case("purged", (shop(keep=1), shop(db=2, keep=1)), shop(), machines=3)).copy()
    moved(world, "m1", "m2")
    [left] = generations(world)["m1"]
    assert ask(world, VolumePurge("shop", "data", kept=left.rpartition("/")[2]), "op-purge") == "done"
    assert generations(world)["m1"] == []
    assert len(bases(world)["m2"]) == 1
    assert ask(world, shop(db=3, keep=1), "op-deploy") == "done"
    assert bases(world) == {"m1": [], "m2": [], "m3": []}
    assert ask(world, Rollback("shop"), "op-back") == "done"
    require_sound(world, "rolled back, but")


def where_common_snapshots_are_gone_all_is_sent_beside_what_is_there() -> None:
    world = prepared(Case("nothing in common", (shop(),), shop(), machines=3)).copy()
    moved(world, "m1")
    [old], there = generations(world)["m2"], world.iron("m2").zfs.kept
    for name in [one for one in there if one.startswith(f"{old}@")]:
        del there[name]
    before = there[old]
    assert ask(world, BACK, "op-back") == "done"
    assert {"row 0", "row of m1, 0"} <= present(world).keys()
    assert there[old].content == before.content


ALL: tuple[Callable[[], None], ...] = (
    a_target_that_fills_up_keeps_nobody_from_being_served,
    no_row_is_lost_on_the_way,
    a_line_that_breaks_is_gone_on_with_or_nothing_of_it_stays,
    to_and_fro_leaves_one_generation_each_and_what_they_have_in_common,
    a_point_of_before_is_rolled_back_to_without_the_machine_that_it_was_on,
    what_a_rollback_left_goes_along,
    what_came_stays_where_its_source_has_gone,
    what_two_machines_have_in_common_outlives_deploys_that_forget,
    what_two_machines_have_in_common_outlives_what_was_restored_from_it,
    what_is_in_common_no_more_is_freed_with_a_deploy_point_wherever_it_is,
    what_is_in_common_no_more_goes_with_the_move,
    what_was_removed_comes_back_where_it_was_last,
    what_somebody_named_goes_along_and_is_purged_wherever_it_is,
    wherever_the_end_of_a_move_is_cut_that_goes_all_the_same,
    what_was_left_is_purged_and_then_nothing_is_kept_for_it,
    where_common_snapshots_are_gone_all_is_sent_beside_what_is_there,
)
