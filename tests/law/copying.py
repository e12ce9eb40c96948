"""What holds of copies of a volume on other machines, as scenarios for tests and for the hunt."""

import asyncio
from collections.abc import Callable

import pytest
from msgspec import structs

from daemon.wire import Branch, How, NamespaceRm, Promote, Refused, Rollback, VolumePurge, VolumeSend
from tests.law import full_pool
from tests.law.cases import Case
from tests.law.law import ID, prepared, uncut
from tests.law.leaving import BACK, lose, losses, removed, rows, world_of
from tests.law.machines import SEND, THERE, shop
from tests.law.moving import EVERY, FOLDER, bases, case, generations, moved, present
from tests.law.sound import require_sound
from tests.law.world import ROOT, Crash, Cut, World, ask, boot, ignore, restart


def copies(world: World) -> dict[str, str]:
    """The copy of the volume on each machine that has one."""
    found = [(iron.name, name) for iron in world.irons() for name, one in iron.zfs.kept.items()
             if name.startswith(f"{FOLDER}/") and one.marks.get("state") == "copy"]  # fmt: skip
    assert len(found) == len(dict(found)), "one machine has several"
    return dict(found)


def sent(world: World, to: str, id: str) -> list[str]:
    """Have a copy on a machine; the bases of the streams that this took, by guid, empty for one that was whole."""
    before = set(world.shared.wires.sent)
    assert ask(world, VolumeSend("shop", "data", to), id) == "done"
    require_sound(world, f"sent to {to}, but")
    came = {word: one for word, one in world.shared.wires.sent.items() if word not in before}
    return [one.base for one in came.values()]


def rows_of(world: World, machine: str) -> set[str]:
    """What is in the copy there."""
    return set(world.iron(machine).zfs.kept[copies(world)[machine]].content)


def a_refresh_sends_what_changed_and_leaves_nothing_else_behind() -> None:
    world = world_of(shop(), shop(db=2))
    assert "" in sent(world, "m1", "op-send-0")
    for number in range(1, 5):
        world.write_row(f"later {number}")
        streams = sent(world, "m1", f"op-send-{number}")
        assert len(streams) == 1
        assert streams[0], "it began as the copy before"
        assert rows_of(world, "m1") == set(present(world))
        assert {name: len(found) for name, found in generations(world).items()} == {"m1": 1, "m2": 1, "m3": 0}
    left = bases(world)
    assert left["m1"] == left["m2"]
    assert len(left["m1"]) == 1


def each_of_two_copies_keeps_what_it_begins_as() -> None:
    world = world_of()
    for number, to in enumerate(("m1", "m3", "m1", "m3", "m3", "m1", "m1", "m3")):
        streams = sent(world, to, f"op-send-{number}")
        assert ("" in streams) == (number < 2), "what follows begins as the copy before"
        world.write_row(f"later {number}")
    assert copies(world).keys() == {"m1", "m3"}
    assert max(len(found) for found in bases(world).values()) <= 3


def what_a_copy_begins_as_outlives_what_forgets_and_what_goes_back() -> None:
    world = world_of(shop(keep=1))
    sent(world, "m1", "op-send")
    for number in range(2, 6):
        assert ask(world, shop(db=number, keep=1), f"op-deploy-{number}") == "done"
        require_sound(world, "deployed beside a copy, but")
    world.write_row("later")
    assert "" not in sent(world, "m1", "op-again")
    assert rows_of(world, "m1") == set(present(world))
    for number in range(2):
        assert ask(world, Rollback("shop"), f"op-back-{number}") == "done"
        require_sound(world, "rolled back beside a copy, but")
        assert ask(world, VolumeSend("shop", "data", "m1"), f"op-more-{number}") == "done"
        assert rows_of(world, "m1") == set(present(world))
        require_sound(world, "sent after a rollback, but")


def the_next_copy_begins_before_what_a_rollback_left() -> None:
    """The last copy is of what is kept, the current generation has only what the copy before was of."""
    world = world_of(shop(keep=1))
    sent(world, "m3", "op-send-1")
    assert ask(world, shop(db=2, keep=1), "op-deploy-2") == "done"
    sent(world, "m1", "op-send-2")
    assert ask(world, Rollback("shop"), "op-back") == "done"
    for number in range(3, 5):
        assert ask(world, shop(db=number, keep=1), f"op-deploy-{number}") == "done"
    assert ask(world, VolumePurge("shop", "data", copy="m3"), "op-purge") == "done"
    require_sound(world, "purged a copy, but")
    assert "" not in sent(world, "m1", "op-send-3")


def a_purge_of_what_was_made_of_it_leaves_a_copy() -> None:
    """A promotion with data gives the snapshots that a copy is of to the namespace that is promoted to."""
    world = world_of(shop())
    assert ask(world, Branch("shop", "pr-42"), "op-branch") == "done"
    assert ask(world, VolumeSend("pr-42", "data", "m1"), "op-send") == "done"
    assert ask(world, Promote("pr-42", "shop", with_data=True), "op-promote") == "done"
    copy = f"{ROOT}/pr-42/data/op-send"
    there = set(world.iron("m1").zfs.snapshots(copy))
    assert ask(world, NamespaceRm("shop", purge=True), "op-purge") == "done"
    require_sound(world, "purged what was promoted to, but")
    assert set(world.iron("m1").zfs.snapshots(copy)) == there != set()
    assert ask(world, NamespaceRm("pr-42", purge=True), "op-purge-too") == "done"
    assert copy not in world.iron("m1").zfs.kept


def what_a_copy_begins_as_is_not_purged_and_goes_with_the_copy() -> None:
    """A rollback leaves it in a generation that is kept."""
    world = world_of(shop(), shop(db=2))
    sent(world, "m1", "op-send")
    assert ask(world, Rollback("shop"), "op-back") == "done"
    left = [name for name in generations(world)["m2"] if world.iron("m2").zfs.kept[name].marks["state"] == "kept"]
    [(generation, _)] = [(name.rpartition("/")[2], name) for name in left]
    assert "the copy on m1" in refusal(world, VolumePurge("shop", "data", kept=generation))
    assert ask(world, VolumePurge("shop", "data", copy="m1"), "op-purge") == "done"
    require_sound(world, "the copy is purged, but")
    assert copies(world) == {}
    assert bases(world) == {"m1": [], "m2": [], "m3": []}
    assert "the copy on m1" not in refusal(world, VolumePurge("shop", "data", kept=generation)), "a deploy point's"


def refusal(world: World, request: VolumePurge) -> str:
    """Why it is refused."""
    with pytest.raises(Refused) as caught:
        asyncio.run(boot(world).mutate(request, How(), "ann", ignore))
    assert caught.value.code == "purge.needed"
    return caught.value.why


def where_the_common_snapshot_is_gone_all_is_sent_again() -> None:
    """Somebody destroyed it by hand, on either side; what the other one has stays until the new copy is there."""
    for machine in ("m1", "m2"):
        world = world_of()
        sent(world, "m1", "op-send")
        there = world.iron(machine).zfs.kept
        for name in [one for one in there if one.startswith(f"{FOLDER}/") and "@" in one]:
            del there[name]
        world.write_row("later")
        assert ask(world, VolumeSend("shop", "data", "m1"), "op-again") == "done"
        assert rows_of(world, "m1") == {"row 0", "later"}


def a_move_begins_with_the_copy_that_is_there() -> None:
    world = world_of(shop(), shop(db=2))
    sent(world, "m1", "op-send")
    sent(world, "m3", "op-other")
    world.write_row("later")
    before = set(world.shared.wires.sent)
    moved(world, "m1")
    assert all(one.base for word, one in world.shared.wires.sent.items() if word not in before)
    assert copies(world).keys() == {"m3"}, "what began as the copy is the volume now"
    assert {"row 0", "row 1", "later"} <= present(world).keys()
    assert "" not in sent(world, "m3", "op-from-m1"), "the other copy goes on from where it was"
    for name in [one for one in world.iron("m2").zfs.kept if one.startswith(f"{ROOT}/shop/data")]:
        del world.iron("m2").zfs.kept[name]
    assert ask(world, Rollback("shop"), "op-back") == "done"
    assert set(present(world)) == {"row 0"}, "deploy points' data had gone along with the copy"


def a_copy_is_what_a_volume_goes_on_from_whose_machine_is_lost() -> None:
    world = world_of(shop(), shop(db=2))
    sent(world, "m3", "op-send")
    world.write_row("later")
    lose(world)
    found = losses(world)["shop/data"]
    assert found.current
    assert found.deploys == [], "their data is in the copy too"
    assert found.instead
    assert found.instead.machine == "m3"
    removed(world, force=True, accept=("shop/data",))
    assert rows(world) == {"row 0", "row 1"}
    assert copies(world) == {}
    require_sound(world, "it goes on from the copy, but")
    again = shop(db=3)
    placed = structs.replace(again, manifest=again.manifest.replace('"m2"', '"m3"'))
    assert ask(world, placed, "op-anew") == "done"
    assert rows(world) == {"row 0", "row 1"}
    require_sound(world, "deployed on what was the copy, but")


def the_newest_of_what_is_left_is_what_it_goes_on_from() -> None:
    """Whichever of two machines had the newer one, and be it a copy or a generation that a move has left."""
    for order in (("m1", "m3"), ("m3", "m1")):
        world = world_of(shop(), THERE, BACK)
        for number, to in enumerate(order):
            world.write_row(f"before {number}")
            sent(world, to, f"op-send-{number}")
        world.write_row("lost")
        lose(world)
        found = losses(world)["shop/data"].instead
        assert found
        assert found.machine == order[-1]
        removed(world, force=True, accept=("shop/data",))
        assert {"before 0", "before 1"} <= rows(world)
        assert "lost" not in rows(world)
        require_sound(world, f"it goes on from the copy on {order[-1]}, but")


def what_a_refresh_has_borrowed_is_left_alone() -> None:
    """The copy before looks empty meanwhile. Others free what is empty, and a refresh that is cut gives it back."""
    other = shop(namespace="other")
    here = structs.replace(other, manifest=other.manifest.replace('"m2"', '"m1"'))
    begun = prepared(Case("beside another", (shop(), SEND, here, shop(db=2)), SEND, machines=3))
    again = structs.replace(here, manifest=here.manifest.replace("db:1", "db:2"))
    for at in range(1, uncut(case("refresh a copy"))[1], EVERY):
        world = begun.copy()
        world.cut = Cut(at, "before", Crash)
        ask(world, SEND, ID)
        world.cut = None
        assert ask(world, again, "op-other") == "done"
        assert restart(world, ID) in ("done", "taken back", "refused"), f"cut at {at}"
        assert copies(world).keys() == {"m1"}
        require_sound(world, f"cut at {at}, and others went on, but")
        world.close()


def a_target_that_fills_up_gets_no_copy_or_a_whole_one() -> None:
    for name in ("send a copy", "refresh a copy"):
        sending = case(name)
        for at in range(1, uncut(sending)[1] + 1, EVERY):
            full_pool.require_honest(sending, at)


ALL: tuple[Callable[[], None], ...] = (
    a_refresh_sends_what_changed_and_leaves_nothing_else_behind,
    each_of_two_copies_keeps_what_it_begins_as,
    what_a_copy_begins_as_outlives_what_forgets_and_what_goes_back,
    the_next_copy_begins_before_what_a_rollback_left,
    a_purge_of_what_was_made_of_it_leaves_a_copy,
    what_a_copy_begins_as_is_not_purged_and_goes_with_the_copy,
    where_the_common_snapshot_is_gone_all_is_sent_again,
    a_move_begins_with_the_copy_that_is_there,
    a_copy_is_what_a_volume_goes_on_from_whose_machine_is_lost,
    the_newest_of_what_is_left_is_what_it_goes_on_from,
    what_a_refresh_has_borrowed_is_left_alone,
    a_target_that_fills_up_gets_no_copy_or_a_whole_one,
)
