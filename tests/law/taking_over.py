"""The law of taking over: m1 stops in the middle of an operation, m2 takes it over, and m1 comes back at any time."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

import msgspec

from daemon.journal import Story
from daemon.operations import Operations
from daemon.records import Namespace, Operation
from daemon.wire import (
    Deploy,
    How,
    MachineRm,
    MeshDestroy,
    MeshInit,
    Problem,
    RegistryLogin,
    SecretRotate,
    SecretSet,
    StoreMove,
    Stuck,
    TakenBack,
    VolumeImport,
    VolumeResize,
    VolumeSnapshot,
)
from tests.law.cases import Case
from tests.law.law import ID, assert_same, prepared, unclaimed, uncut
from tests.law.machines import CASES, shop
from tests.law.members import CASES as MEMBERS
from tests.law.sound import require_sound
from tests.law.world import Crash, World, boot, boot_at, ignore, seen

BACK = (None, 1, 4, 9, 16, 30)
"""When m1 comes back: so many touches after it stopped, or when m2 can do no more."""
Way = Literal["stands still", "is off"]
WAYS: tuple[Way, ...] = ("stands still", "is off")

HERE = Deploy(shop().manifest.replace('machine = "m2"', 'machine = "m1"'))
RECORDS = (
    Case("set a secret from afar", (shop(),), SecretSet("shop", "PASSWORD", b"one"), machines=3),
    Case("log in from afar", (shop(),), RegistryLogin("registry.example:5000", "ann", b"one"), machines=3),
)
"""These change records only, so m2 brings them to their end without m1."""
COMING = tuple(
    replace(case, machines=3)
    for case in MEMBERS
    if not isinstance(case.ask, SecretRotate | StoreMove | MeshInit | MeshDestroy) and case.ask != MachineRm("m2")
)
"""Machines come and leave, but for m2: records, too. The store's moves have a law of their own, tests.law.moving_on;
who founds a mesh, or leaves it for good, is alone."""
ALL = (
    *(case for case in CASES if case.changes),
    *COMING,
    *RECORDS,
    Case("resize on one of three machines", (HERE,), VolumeResize("shop", "data", 5000), machines=3),
    Case("import on one of three machines", (HERE,), VolumeImport("shop", "more"), machines=3),
    Case("name a snapshot on one of three machines", (HERE,), VolumeSnapshot("shop", "data", "before"), machines=3),
)
"""What commits no record is left out: whoever carries it on cannot know that it was done, and it does no harm."""


class Play:
    """One operation of m1, which stops before a touch; m2 takes it over meanwhile."""

    def __init__(self, case: Case, at: int, way: Way, *, doubled: bool = False) -> None:
        self.case, self.way, self.world = case, way, prepared(case).copy()
        self.world.stops_at, self.world.doubled = at, doubled
        self.first, self.second = boot(self.world), boot_at(self.world, "m2")
        self.effort = asyncio.create_task(self.first.mutate(case.ask, How(op_id=ID), "uid 0", ignore))

    async def stops(self) -> bool:
        """Whether it came to that touch. From then on nobody hears of m1."""
        stopped = asyncio.create_task(self.world.stopped.wait())
        await asyncio.wait({stopped, self.effort}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not self.world.stopped.is_set():
            return False
        self.world.parted = {"m1"}
        if self.way == "is off":
            self.world.lost = True
            self.world.go.set()
            with suppress(Crash):
                await self.effort
            self.world.lost = False
        return True

    def comes_back_after(self, touches: int) -> None:
        """While m2 is at it, m1 comes back at a touch."""
        until = self.world.touches + touches

        def look(touch: int) -> None:
            if touch >= until:
                self.come_back()

        self.world.meanwhile = look

    def come_back(self) -> None:
        if not self.world.parted:
            return
        self.world.meanwhile = lambda _: None
        self.world.parted = set()
        self.world.go.set()
        if self.way == "is off":
            self.first = boot_again(self.world)
            self.first.carry_on()

    async def take_over(self) -> str:
        """Whatever m2 cannot do on m1 leaves it stuck there. Without a record there is nothing to take over."""
        return await ending(self.second.resume(ID, ignore, take_over=True))

    async def goes_on(self) -> str:
        """What whoever asked m1 is told, if m1 still lives; else it is started anew."""
        self.come_back()
        if self.way == "stands still":
            return await ending(self.effort)
        await idle(self.first)
        return await ending(self.first.resume(ID, ignore))

    async def ends(self) -> None:
        self.world.parted = set()
        self.world.go.set()
        await ending(self.effort)

    async def all_is_said(self) -> None:
        """Everybody can be reached, and what waited for somebody is carried on."""
        for daemon in (self.second, self.first, self.second):
            daemon.carry_on()
            await idle(daemon)


def boot_again(world: World) -> Operations:
    """m1 starts anew; m2 has gone on all the time."""
    second, listening = world.daemons["m2"], {key: told for key, told in world.asked.items() if key[0] != "m1"}
    participants = {name: site.participant for name, site in world.sites.items()}
    operations = boot(world)
    for name, site in world.sites.items():
        site.participant = participants[name]
    world.daemons["m2"] = second
    world.asked |= listening
    return operations


async def ending(effort: Any) -> str:
    try:
        await effort
    except TakenBack as problem:
        return f"taken back: {problem.code}" if problem.code == "operation.taken_over" else "taken back"
    except Stuck as problem:
        return f"stuck: {problem.code}" if problem.code == "operation.taken_over" else "stuck"
    except Problem as problem:
        return f"{problem.state}: {problem.code}"
    return "done"


async def idle(*daemons: Operations) -> None:
    for daemon in daemons:
        while efforts := [
            one
            for one in (daemon._carrying, *(running.task for running in daemon.running.values()))
            if one and not one.done()
        ]:
            await asyncio.wait(efforts)
            await asyncio.sleep(0)  # what is begun once one of them is over


def record_of(world: World) -> Operation | None:
    entry = world.kv.entries.get(f"operations.{ID}")
    return msgspec.json.decode(entry.value, type=Operation) if entry else None


def touches(case: Case, every: int) -> Iterator[int]:
    """A share of them, another one for each case."""
    yield from range(1 + len(case.name) % every, uncut(case)[1] + 1, every)


def require_taken_over(case: Case, every: int, way: Way, *, doubled: bool = False) -> None:
    """Raises AssertionError unless all ends as before or as after, whenever m1 comes back, be it with every message
    between machines `doubled`."""
    short = uncut(case)[1] < 12
    for number, at in enumerate(touches(case, 1 if short else every)):
        for back in (None, *range(1, 10)) if short else (BACK[number % len(BACK)],):
            asyncio.run(_taken_over(case, at, way, back, doubled=doubled))


async def _taken_over(case: Case, at: int, way: Way, back: int | None, *, doubled: bool) -> None:
    play = Play(case, at, way, doubled=doubled)
    world, said = play.world, f"{case.name}, {way} at {at}, back after {back}:"
    if not await play.stops():
        return
    if back:
        play.comes_back_after(back)
    recorded = record_of(world) is not None
    there = await play.take_over()
    here = await play.goes_on()
    await play.all_is_said()
    record = record_of(world)
    assert (record and record.ending) or not recorded, f"{said} it is not over: {there}; {here}"
    assert recorded or there == "refused: operation.missing" or back, f"{said} {there}"
    done = record is not None and record.ending == "done"
    wanted = uncut(case)[2] if done else seen(prepared(case))
    assert_same(unclaimed(seen(world)), unclaimed(wanted), f"{said} {done=} ({there}; {here}), but")
    require_sound(world, said)
    for daemon in (play.first, play.second) if record else ():
        told = await ending(daemon.resume(ID, ignore))
        assert told.startswith("done" if done else "taken back"), f"{said} {done=}, but {told}"
    if recorded and not back:
        assert not here.startswith("done") or done, f"{said} {here}"
    world.close()


async def _went_on(case: Case, at: int) -> None:
    """m1, taken over, begins no step any more, and nothing that was on its way counts elsewhere.

    On its ways back and on it goes where m2 goes, so there it may do more of its own part.
    """
    play = Play(case, at, "stands still")
    world, said = play.world, f"{case.name}, {at}: m1 went on, and"
    if await play.stops() and (record := record_of(world)) and not record.ending:
        assert (await play.second.take(ID)).operation == ID
        there = elsewhere(world)
        story = play.first.story(ID)
        assert story
        decided, begun = story.has("committing") or story.has("failed"), begun_steps(story)
        world.go.set()
        ended = await ending(play.effort)
        assert decided or ended == "stuck: operation.taken_over", f"{said} {ended}"
        assert decided or begun_steps(story) == begun, f"{said} it began more steps"
        assert_same(elsewhere(world), there, said)
    await play.ends()


def begun_steps(story: Story) -> list[str]:
    return [event.step for event in story.events if event.kind == "doing"]


def elsewhere(world: World) -> dict[str, Any]:
    """What can be seen on the other machines. What a step of m1 writes into the records m2 takes back afterwards."""
    return {what: found for what, found in seen(world).items() if what.endswith((" of m2", " of m3"))}


def whoever_was_taken_over_does_nothing_more(every: int = 11) -> None:
    # Not with a hook: what one writes that runs already, it writes into candidates, which are still there then.
    for case in (CASES[1], CASES[4], CASES[10], *RECORDS):
        for at in touches(case, every):
            asyncio.run(_went_on(case, at))


async def _answers_again(case: Case, at: int) -> None:
    """m1 can be reached again, and one of its steps still waits: that has to end before m2 does anything there."""
    play = Play(case, at, "stands still")
    world, said = play.world, f"{case.name}, {at}: m1 answered again, and"
    if await play.stops() and (record := record_of(world)) and not record.ending:
        await play.take_over()
        world.parted, world.stops_at = set(), 0  # what it waits in it still waits in
        ended = await ending(play.second.resume(ID, ignore))
        assert ended in {"done", "taken back"}, f"{said} {ended}"
        there = seen(world)
        if not play.effort.done():
            world.go.set()
        await asyncio.wait({play.effort})
        assert_same(unclaimed(seen(world)), unclaimed(there), said)
        require_sound(world, said)
    await play.ends()


def whoever_answers_again_ends_its_own_part_first(every: int = 5) -> None:
    for case in (CASES[1], CASES[3], ALL[-1]):
        for at in touches(case, every):
            asyncio.run(_answers_again(case, at))


def whoever_was_taken_over_says_no_ending() -> None:
    """m1 does its own part of the way back to its end; the operation's claims stay, for m2 has not."""

    async def story() -> None:
        case = CASES[4]
        touch = uncut(case)[1] - 4
        play = Play(case, touch, "stands still")
        assert await play.stops()
        assert await play.take_over() == "stuck"
        play.world.go.set()
        await ending(play.effort)
        record = record_of(play.world)
        assert record
        assert not record.ending, "m1 said how it ended"
        assert ID in play.world.holders(), "its claims are free, and it is not over"
        await play.ends()

    uncut(CASES[4])
    asyncio.run(story())


LATER = SecretSet("shop", "PASSWORD", b"two")


async def _disturbs_nothing(case: Case, at: int) -> bool:
    play = Play(case, at, "stands still")
    world, said = play.world, f"{case.name}, {at}: "
    if not await play.stops() or ID not in world.holders():
        await play.ends()
        return False
    assert await ending(play.second.mutate(LATER, How(op_id="op-b"), "uid 1", ignore)) == "refused: claim.unreachable"
    assert await ending(play.second.mutate(LATER, How(op_id="op-c", take_over=True), "uid 1", ignore)) == "done", said
    there = seen(world)
    assert await play.goes_on() != "stuck"
    await play.all_is_said()
    assert_same(unclaimed(seen(world)), unclaimed(there), f"{said} m1 went on, and")
    require_sound(world, said)
    entries = [entry for key, entry in world.kv.entries.items() if key.startswith("namespaces.")]
    claims = [claim for entry in entries for claim in msgspec.json.decode(entry.value, type=Namespace).claims]
    assert all(claim.operation == ID for claim in claims), said
    return True


def whoever_wants_the_namespace_takes_over() -> None:
    """m1 went away with a claim, with its record or before it; what comes after m1 does not disturb any more."""
    case = RECORDS[0]
    tried = [asyncio.run(_disturbs_nothing(case, at)) for at in range(1, uncut(case)[1] + 1)]
    assert sum(tried) >= 2


async def _needs_nobody(case: Case, at: int) -> bool:
    """Whether there was something to take over."""
    play = Play(case, at, "stands still")
    was_open = await play.stops() and (record := record_of(play.world)) is not None and not record.ending
    if was_open:
        said = f"{case.name}, {at}: m1 is gone, and m2"
        assert (told := await play.take_over()) in {"done", "taken back"}, f"{said} is {told}"
        there = seen(play.world)
        assert ID not in play.world.holders(), f"{said} has a claim left"
        assert (told := await play.goes_on()) in {"done", "taken back"}, f"{said} done, m1 is {told}"
        await play.all_is_said()
        assert_same(unclaimed(seen(play.world)), unclaimed(there), f"{case.name}, {at}: m1 went on, and")
    await play.ends()
    return was_open


def whoever_takes_over_what_is_in_records_only_waits_for_nobody() -> None:
    for case in (*RECORDS, *COMING):
        tried = [asyncio.run(_needs_nobody(case, at)) for at in range(1, uncut(case)[1] + 1)]
        assert sum(tried) >= 2, case.name


SCENARIOS = (
    whoever_takes_over_what_is_in_records_only_waits_for_nobody,
    whoever_was_taken_over_does_nothing_more,
    whoever_answers_again_ends_its_own_part_first,
    whoever_was_taken_over_says_no_ending,
    whoever_wants_the_namespace_takes_over,
)
