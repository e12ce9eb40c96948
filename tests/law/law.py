"""The law itself: a case carried out with a cut, resolved, and compared with the worlds before and after."""

import asyncio
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from msgspec import structs

from daemon.journal import Story
from tests.law.cases import Case
from tests.law.sound import require_sound
from tests.law.world import Crash, Cut, Ending, Failed, World, ask, founded, restart, seen

ID = "op-cut"
WHENS = ("before", "after", "late")
FAILURES = (Crash, Failed, asyncio.CancelledError)
LAGS = (1, 2, 3, 5, 8, 13)
OVER = ("done", "refused", "taken back")


@cache
def prepared(case: Case) -> World:
    """The world that the case begins with. Rows are written between the requests that make it."""
    world = founded(openzfs=len(case.name) % 2 == 0, machines=case.machines)
    for number, request in enumerate(case.first):
        assert ask(world, request, f"op-{number}") == "done", f"request {number} of {case.name}"
        require_sound(world, f"{case.name}, request {number}")
        world.write_row(f"row {number}")
    world.touches = 0
    return world


@cache
def uncut(case: Case) -> tuple[str, int, dict[str, Any]]:
    """How the case ends when nothing cuts it, after how many touches, and what is seen then."""
    world = prepared(case).copy()
    ending = ask(world, case.ask, ID)
    require_sound(world, f"{case.name}, uncut: {ending}, but")
    return ending, world.touches, seen(world)


def cuts(case: Case, failure: type[BaseException]) -> Iterator[Cut]:
    """Every touch of the case, cut in every way."""
    for at in range(1, uncut(case)[1] + 1):
        for when in WHENS:
            yield Cut(at, when, failure)  # type: ignore[arg-type]


class Tried(NamedTuple):
    """Whether a write came late, and whether everything that was to happen did before the operation was over."""

    late: bool
    whole: bool


def require_fenced(case: Case, failure: type[BaseException]) -> None:
    """The law, with each write that can be late arriving at each of the next touches, whatever goes on then."""
    for at in range(1, uncut(case)[1] + 1):
        cut = Cut(at, "late", failure)
        for lag in LAGS if require_law(case, cut).late else ():
            if not require_law(case, cut, lag=lag).whole:
                break  # it came in the end; so would what is later still


def require_recovered(case: Case, cut: Cut, seconds: Iterable[int]) -> None:
    """The law, crashed again at these touches of the recovery, the first ones first."""
    for second in seconds:
        if not require_law(case, cut, second).whole:
            break  # it was over before that touch; a later one would be the same again


def resolved(world: World, case: Case, cut: Cut, second: int) -> str:
    """Carry the case out with this cut, restart with a second crash, and again until it is over. How it ended."""
    world.cut = cut
    ending = ask(world, case.ask, ID)
    if ending == "stuck" and not case.fails and not any(site.dead for site in world.sites.values()):
        story = Story.read(world.disk / "operations" / f"{ID}.jsonl")
        assert story
        assert story.has("committed"), f"{case.name}, {cut}: stuck on the way back, though nothing failed there"
    ending = restarted(world, ID, ending, second)
    world.come_back()
    world.catch_up()
    return ending


def restarted(world: World, operation: str, ending: Ending, second: int) -> Ending:
    """Start again until it is over, the first time with a second crash, if so. How it ended."""
    for crash_at in (second, 0, 0, 0):
        if ending in OVER:
            break
        world.cut = Cut(world.touches + crash_at, "before", Crash) if crash_at else None
        ending = restart(world, operation)
    world.cut = None
    return ending


def require_law(case: Case, cut: Cut, second: int = 0, lag: int = 0, *, doubled: bool = False) -> Tried:
    """Raise AssertionError unless it holds, be it with every message between machines `doubled`.

    `second` is the touch of the recovery at which it crashes again; what is late arrives `lag` touches later, or
    in the end.
    """
    world = prepared(case).copy()
    world.arrives, world.doubled = cut.at + lag if lag else None, doubled
    before, after = seen(world), uncut(case)[2]
    try:
        ending = resolved(world, case, cut, second)
        tried = Tried(world.was_late, world.was_cut > bool(second) and world.touches >= cut.at + lag)
        wanted = after if ending == "done" else before
        said = f"{case.name}, {cut}, second {second}, lag {lag}: {ending}, but"
        assert ending in OVER, said
        assert_same(unclaimed(seen(world)), unclaimed(wanted), said)
        require_sound(world, said)
        world.deliver()
        assert_same(unclaimed(seen(world)), unclaimed(wanted), f"{said} what came late changed the world:")
        restart(world, ID)
        assert_same(seen(world), wanted, f"{said} a claim is left:")
        return tried
    finally:
        world.close()


def unclaimed(world: dict[str, Any]) -> dict[str, Any]:
    """Without claims: one of an operation that is over, or that came late, is freed by whoever meets it."""
    records = {key: _unclaimed(key, record) for key, record in world["records"].items()}
    return {**world, "records": {key: record for key, record in records.items() if record != (None, {})}}


def _unclaimed(key: str, record: Any) -> Any:
    if key.startswith("namespaces."):
        return record[0], record[2]
    return structs.replace(record, claims=()) if key == "cluster" else record


def assert_same(one: dict[str, Any], other: dict[str, Any], otherwise: str) -> None:
    differs = [f"{key}: {one[key]} instead of {other[key]}" for key in one if one[key] != other[key]]
    assert not differs, f"{otherwise} {'; '.join(differs)}"
