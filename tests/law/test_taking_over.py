"""m2 takes over what m1 began; and what everybody is told of that."""

import asyncio
import os
from contextlib import suppress

import pytest

from daemon.coming_back import come_back
from daemon.peers.calls import Part
from daemon.records import Turn
from daemon.wire import How, Refused, Stuck
from tests.law import taking_over
from tests.law.cases import Case
from tests.law.law import ID, assert_same, prepared, unclaimed, uncut
from tests.law.machines import CASES, shop
from tests.law.sound import require_sound
from tests.law.taking_over import ALL, RECORDS, WAYS, Play, Way, ending, idle, record_of, require_taken_over
from tests.law.world import Crash, Cut, boot_at, ignore, seen

EVERY = int(os.environ.get("PLOYZ_LAW_EVERY", "11"))
"""Of the touches at which m1 may stop so many is tried (PLOYZ_LAW_EVERY=1: all)."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_all_ends_as_before_or_as_after_whenever_m1_comes_back(case: Case, way: Way) -> None:
    require_taken_over(case, EVERY, way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", [CASES[1], CASES[4], *RECORDS], ids=lambda case: case.name)
def test_all_ends_so_too_when_every_message_comes_twice(case: Case, way: Way) -> None:
    require_taken_over(case, EVERY * 2, way, doubled=True)


def test_whoever_was_taken_over_does_nothing_more() -> None:
    taking_over.whoever_was_taken_over_does_nothing_more(EVERY)


def test_whoever_answers_again_ends_its_own_part_first() -> None:
    taking_over.whoever_answers_again_ends_its_own_part_first(EVERY)


def test_whoever_was_taken_over_says_no_ending() -> None:
    taking_over.whoever_was_taken_over_says_no_ending()


def test_whoever_wants_the_namespace_takes_over_and_m1_disturbs_nothing_of_what_came_after() -> None:
    taking_over.whoever_wants_the_namespace_takes_over()


def test_without_take_over_who_meets_its_claim_is_told_which_machine_does_not_answer() -> None:
    async def story() -> None:
        play = Play(CASES[1], 40, "stands still")
        assert await play.stops()
        with pytest.raises(Refused) as refused:
            await play.second.mutate(shop(web="9"), How(op_id="op-b"), "uid 1", ignore)
        assert refused.value.code == "claim.unreachable"
        assert "on m1, which does not answer" in refused.value.why
        assert refused.value.hint.startswith("--take-over")
        with pytest.raises(Refused) as refused:
            await play.second.mutate(shop(web="9"), How(op_id="op-c", take_over=True), "uid 1", ignore)
        assert refused.value.code == "claim.stuck", "its own part m1 has to take back"
        play.world.go.set()
        await play.ends()

    prepared(CASES[1])
    asyncio.run(story())


def test_whoever_takes_over_what_is_in_records_only_waits_for_nobody() -> None:
    taking_over.whoever_takes_over_what_is_in_records_only_waits_for_nobody()


def test_who_comes_back_says_so_and_what_waited_for_it_goes_on() -> None:
    async def story() -> None:
        play = Play(CASES[1], 40, "stands still")
        world = play.world
        assert await play.stops()
        assert await play.take_over() == "stuck"
        world.go.set()
        assert await ending(play.effort) == "stuck: operation.taken_over"
        world.parted = set()
        assert world.participant
        await come_back(world.participant, play.first)
        await idle(play.second, play.first)
        record = record_of(world)
        assert record
        assert record.ending == "taken_back"
        assert_same(seen(world), seen(prepared(CASES[1])), "what waited for m1 went on, but")
        answer = play.first.own_answer(ID)
        assert answer, "m1 was not told what came of it"

    prepared(CASES[1])
    asyncio.run(story())


def test_who_was_away_at_the_end_is_told_of_it_when_it_comes_back() -> None:
    async def story() -> None:
        play = Play(CASES[1], 40, "stands still")
        world = play.world
        assert await play.stops()
        await play.take_over()
        world.parted = set()
        play.world.go.set()
        await ending(play.effort)
        world.parted = {"m3"}
        assert await play.take_over() in {"stuck", "taken back"}
        world.parted = set()
        third = world.sites["m3"].participant
        assert third
        await play.all_is_said()
        await third.ask_for_endings()
        with pytest.raises(Refused) as refused:
            await third.fence(ID, Part({}, Turn(9, 9)))
        assert refused.value.code == "operation.over"

    prepared(CASES[1])
    asyncio.run(story())


def test_m2_may_be_cut_off_while_it_takes_over_and_does_it_again() -> None:
    async def story(case: Case, at: int, cut: int) -> bool:
        play = Play(case, at, "stands still")
        world = play.world
        if not await play.stops() or record_of(world) is None:
            await play.ends()
            return False
        world.cut = Cut(world.touches + cut, "before", Crash)
        with suppress(Crash):
            await play.take_over()
        was_cut, world.cut, world.dead = bool(world.was_cut), None, False
        for site in world.sites.values():
            site.dead = False
        play.second = boot_at(world, "m2")
        await play.take_over()
        await play.goes_on()
        await play.all_is_said()
        record, said = record_of(world), f"{case.name}, {at}, m2 cut at {cut}:"
        assert record
        assert record.ending, said
        wanted = uncut(case)[2] if record.ending == "done" else seen(prepared(case))
        assert_same(unclaimed(seen(world)), unclaimed(wanted), f"{said} {record.ending}, but")
        require_sound(world, said)
        return was_cut

    for case in (CASES[1], CASES[3], RECORDS[0]):
        every = uncut(case)[1] // 3
        for at in range(every, uncut(case)[1] + 1, every):
            for cut in range(1, 60, EVERY):
                asyncio.run(story(case, at, cut))


def test_two_who_take_over_at_a_time_do_it_once() -> None:
    async def story() -> None:
        play = Play(CASES[1], 40, "stands still")
        assert await play.stops()
        endings = await asyncio.gather(play.take_over(), play.take_over())
        assert set(endings) == {"stuck"}, "its own part m1 has to take back"
        record = record_of(play.world)
        assert record
        assert (record.machine, record.term) == ("m2", 1)
        assert (await play.goes_on()).startswith(("stuck", "taken back"))
        await play.all_is_said()

    prepared(CASES[1])
    asyncio.run(story())


def test_without_take_over_the_machine_that_does_not_answer_is_named() -> None:
    async def story() -> None:
        play = Play(CASES[1], 40, "stands still")
        assert await play.stops()
        with pytest.raises(Refused) as refused:
            await play.second.resume(ID, ignore)
        assert refused.value.code == "machine.unreachable"
        assert "m1's" in refused.value.why
        assert refused.value.hint.startswith(f"ployzctl op resume {ID} --take-over")
        play.world.parted = set()
        with pytest.raises(Refused) as refused:
            await play.second.resume(ID, ignore, take_over=True)
        assert refused.value.code == "operation.elsewhere"
        assert "where it is running" in refused.value.why
        play.world.go.set()
        assert await ending(play.effort) == "done"
        assert await ending(play.second.resume(ID, ignore)) == "done"

    prepared(CASES[1])
    asyncio.run(story())


def test_who_was_taken_over_is_told_so_and_later_what_came_of_it() -> None:
    async def story() -> None:
        play = Play(CASES[1], 40, "stands still")
        assert await play.stops()
        assert await play.take_over() == "stuck"
        play.world.go.set()
        with pytest.raises(Stuck) as stuck:
            await play.effort
        assert stuck.value.code == "operation.taken_over"
        assert stuck.value.operation == ID
        play.world.parted = set()
        await play.all_is_said()
        assert await ending(play.first.mutate(play.case.ask, How(op_id=ID), "uid 0", ignore)) == "taken back"
        assert not play.first.rows(all=False)

    prepared(CASES[1])
    asyncio.run(story())
