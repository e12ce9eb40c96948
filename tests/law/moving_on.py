"""The law of a store's move whose coordinator is gone: another machine ends it, as before or as after, and alone."""

import asyncio
from collections.abc import Iterator
from functools import cache

from daemon.wire import How, SecretSet, StoreMove
from tests.law.cases import Case, shop
from tests.law.law import ID, assert_same, prepared, unclaimed, uncut
from tests.law.sound import require_sound
from tests.law.taking_over import Play, Way, ending, record_of
from tests.law.world import World, ask, ignore, seen

CASES = (
    Case("the records go to three", (shop(),), StoreMove(), machines=3),
    Case("the records leave who sees to it", (shop(), StoreMove()), StoreMove(("m1",)), machines=3),
    Case("the records leave one of four", (shop(), StoreMove()), StoreMove(("m2",)), machines=4),
)
TO_ITSELF = Case("the records go to who sees to it", (shop(), StoreMove()), StoreMove(("m2",)), machines=3)


@cache
def after(case: Case) -> World:
    """The world once nothing has cut it."""
    world = prepared(case).copy()
    assert ask(world, case.ask, ID) == "done"
    return world


def touches(case: Case, every: int) -> Iterator[int]:
    """A share of them, another one for each case."""
    yield from range(1 + len(case.name) % every, uncut(case)[1] + 1, every)


def without_m1(world: World) -> dict[str, object]:
    """What is seen from m2, but for m1's own part: nobody can do anything there."""
    everything = unclaimed(seen(world, world.sites["m2"]))
    return {what: found for what, found in everything.items() if not what.endswith(" of m1")}


def require_moved_on(case: Case, every: int, way: Way) -> None:
    """Raises AssertionError unless it ends both ways, by where m1 stops."""
    after(case)
    endings = {asyncio.run(_moved_on(case, at, way)) for at in touches(case, every)}
    assert endings >= {"done", "taken back"}


async def _moved_on(case: Case, at: int, way: Way) -> str:
    play = Play(case, at, way)
    assert await play.stops()
    try:
        return await _ended_by_m2(play, f"{case.name}, m1 {way} at {at}:")
    finally:
        play.world.go.set()


async def _ended_by_m2(play: Play, said: str) -> str:
    """As before or as after, without m1; also once m1 is back, or goes on; and then changes are taken."""
    case, way, world = play.case, play.way, play.world
    record = record_of(world)
    told = await play.take_over()
    if record and record.ending:  # m1 was lost right after it had said so
        told = record.ending.replace("_", " ")
    assert told in ({"done", "taken back"} if record else {"refused: operation.missing"}), f"{said} {told}"
    if not record and way == "stands still":
        return await _nobody_knew(play)
    wanted, expected = after(case) if told == "done" else prepared(case), "as after" if told == "done" else "as before"
    if record:
        assert_same(without_m1(world), without_m1(wanted), f"{said} not {expected}:")
    await _back(play)
    assert_same(unclaimed(seen(world)), unclaimed(seen(wanted)), f"{said} m1 is back, and it is not {expected}:")
    if way == "stands still":  # its last touch was on its way already, and comes when nobody is to do anything
        world.wrongs = [wrong for wrong in world.wrongs if not wrong.startswith("moves")]
    require_sound(world, said)
    later = play.second.mutate(SecretSet("later", "KEY", b"x"), How(op_id="op-later"), "uid 0", ignore)
    assert await ending(later) == "done", said
    world.close()
    return told


async def _nobody_knew(play: Play) -> str:
    """There was no record to take over, so m1 does it once it goes on."""
    play.come_back()
    told = await ending(play.effort)
    play.world.close()
    return f"{told} by m1"


async def _back(play: Play) -> None:
    """m1 finds out which store counts, at its start or as it goes on, and everybody carries on."""
    if play.way == "is off":
        play.world.look_for_store(play.world)
    play.come_back()
    if play.way == "stands still":
        await ending(play.effort)
        play.world.look_for_store(play.world)
    await play.all_is_said()


def nobody_guesses_where_only_its_coordinator_could_tell(every: int = 1) -> None:
    """The new store is on m1 alone: whether it is the one only m1 knows, so it waits for m1, and then ends."""
    after(TO_ITSELF)
    for at in touches(TO_ITSELF, every):
        asyncio.run(_nobody_guessed(at))


async def _nobody_guessed(at: int) -> None:
    play = Play(TO_ITSELF, at, "is off")
    assert await play.stops()
    record = record_of(play.world)
    if record and not record.ending:
        assert await play.take_over() in {"stuck", "refused: machine.unreachable"}
    play.come_back()
    await play.all_is_said()
    told = await ending(play.first.resume(ID, ignore))
    play.world.come_back()
    wanted = after(TO_ITSELF) if told == "done" else prepared(TO_ITSELF)
    assert_same(unclaimed(seen(play.world)), unclaimed(seen(wanted)), f"m1 lost at {at}, and back: {told}, but")
    require_sound(play.world, f"m1 lost at {at}, and back:")


def a_seal_that_comes_after_its_move_was_taken_back_is_broken_by_who_meets_it() -> None:
    """m1 sealed the store and is lost; what it sent arrives once m2 has taken the move back."""
    case = CASES[0]
    asyncio.run(_sealed_late(case, _touch_of("moves seal", case)))


def _touch_of(sought: str, case: Case) -> int:
    world, told = prepared(case).copy(), dict[str, int]()
    witness = world._witness

    def note(what: str) -> None:
        told.setdefault(what, world.touches)
        witness(what)

    world._witness = note  # type: ignore[method-assign]
    assert ask(world, case.ask, ID) == "done"
    return told[sought]


async def _sealed_late(case: Case, at: int) -> None:
    play = Play(case, at, "is off")
    assert await play.stops()
    assert await play.take_over() == "taken back"
    play.world.moves._seal(True)
    later = play.second.mutate(SecretSet("later", "KEY", b"x"), How(op_id="op-later"), "uid 0", ignore)
    assert await ending(later) == "done", "the store is sealed for good"
    await _back(play)
    require_sound(play.world, "m1 is back, and")


async def _meets_a_move(case: Case, at: int) -> None:
    play = Play(case, at, "stands still")
    assert await play.stops()
    play.world.parted = set()
    later = play.second.mutate(SecretSet("later", "KEY", b"x"), How(op_id="op-later"), "uid 0", ignore)
    told, sealed = await ending(later), play.world.stores.of("").sealed
    play.world.go.set()
    assert await ending(play.effort) == "done"
    assert (told, sealed) == ("refused: store.closed", True)


def who_meets_a_store_that_is_being_moved_leaves_it_sealed() -> None:
    case = CASES[0]
    asyncio.run(_meets_a_move(case, _touch_of("moves carry", case)))


SCENARIOS = (
    a_seal_that_comes_after_its_move_was_taken_back_is_broken_by_who_meets_it,
    who_meets_a_store_that_is_being_moved_leaves_it_sealed,
)
