"""The law: wherever a primitive is cut, once resolved the world is as before or as after, never between."""

import asyncio
from functools import cache
from typing import Any

import pytest

from tests.law.cases import CASES, Case
from tests.law.world import Crash, Cut, Failed, World, ask, founded, restart, seen

ID = "op-cut"
WHENS = ("before", "after", "late")
FAILURES = (Crash, Failed, asyncio.CancelledError)
OVER = ("done", "refused", "taken back")


@cache
def prepared(case: Case) -> World:
    """The world that the case begins with. Rows are written between the requests that make it."""
    world = founded(openzfs=len(case.name) % 2 == 0)
    for number, request in enumerate(case.first):
        assert ask(world, request, f"op-{number}") == "done", f"request {number} of {case.name}"
        world.write_row(f"row {number}")
    world.touches = 0
    return world


@cache
def uncut(case: Case) -> tuple[str, int, dict[str, Any]]:
    """How the case ends when nothing cuts it, after how many touches, and what is seen then."""
    world = prepared(case).copy()
    ending = ask(world, case.ask, ID)
    return ending, world.touches, seen(world)


def resolved(world: World, case: Case, cut: Cut, second: int) -> str:
    """Carry the case out with this cut, restart with a second crash, and again until it is over. How it ended."""
    world.cut = cut
    ending = ask(world, case.ask, ID)
    for crash_at in (second, 0, 0, 0):
        if ending in OVER:
            break
        world.cut = Cut(world.touches + crash_at, "before", Crash) if crash_at else None
        ending = restart(world, ID)
    world.cut = None
    return ending


def require_law(case: Case, cut: Cut, second: int = 0) -> None:
    world = prepared(case).copy()
    before, after = seen(world), uncut(case)[2]
    try:
        ending = resolved(world, case, cut, second)
        wanted = after if ending == "done" else before
        assert ending in OVER
        assert_same(unclaimed(seen(world)), unclaimed(wanted), f"{case.name}, {cut}, {second}: {ending}, but")
        world.deliver()
        assert_same(unclaimed(seen(world)), unclaimed(wanted), f"{case.name}, {cut}: what came late changed the world:")
        restart(world, ID)
        assert_same(seen(world), wanted, f"{case.name}, {cut}: a claim is left:")
    finally:
        world.close()


def unclaimed(world: dict[str, Any]) -> dict[str, Any]:
    """Without claims: one of an operation that is over, or that came late, is freed by whoever meets it."""
    records = {key: record[0] if key.startswith("namespaces.") else record for key, record in world["records"].items()}
    return {**world, "records": {key: record for key, record in records.items() if record}}


def assert_same(one: dict[str, Any], other: dict[str, Any], otherwise: str) -> None:
    differs = [f"{key}: {one[key]} instead of {other[key]}" for key in one if one[key] != other[key]]
    assert not differs, f"{otherwise} {'; '.join(differs)}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_uncut_it_ends_as_it_should(case: Case) -> None:
    ending, touches, after = uncut(case)
    fails = "fails" in case.name or "never" in case.name
    assert ending == ("taken back" if fails else "done")
    assert (after == seen(prepared(case))) == fails
    assert touches > 5


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cut_at_every_touch(case: Case, failure: type[BaseException]) -> None:
    for at in range(1, uncut(case)[1] + 1):
        for when in WHENS:
            require_law(case, Cut(at, when, failure))  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_crashed_at_every_touch_and_again_while_recovering(case: Case) -> None:
    for at in range(1, uncut(case)[1] + 1):
        for second in range(1 + at % 3, 30, 3):
            require_law(case, Cut(at, "after", Crash), second)
