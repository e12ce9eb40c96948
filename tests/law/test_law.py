"""The law: wherever a primitive is cut, once resolved the world is as before or as after, never between."""

import os
from collections.abc import Callable

import pytest

from tests.law import branched, full_pool, scenarios
from tests.law.cases import CASES, Case
from tests.law.full import require_honest, sizes
from tests.law.law import FAILURES, cuts, prepared, require_fenced, require_law, require_recovered, uncut
from tests.law.world import Crash, Cut, Failed, seen

EVERY = int(os.environ.get("PLOYZ_LAW_EVERY", "6"))
"""Of the touches while it recovers each so many is cut too (PLOYZ_LAW_EVERY=1: all)."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_uncut_it_ends_as_it_should(case: Case) -> None:
    ending, touches, after = uncut(case)
    assert ending == ("taken back" if case.fails else "done")
    assert (after == seen(prepared(case))) == (case.fails or not case.changes)
    assert touches > 2


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cut_at_every_touch(case: Case, failure: type[BaseException]) -> None:
    for cut in cuts(case, failure):
        require_law(case, cut)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_crashed_at_every_touch_and_again_while_recovering(case: Case) -> None:
    for at in range(1, uncut(case)[1] + 1):
        require_recovered(case, Cut(at, "after", Crash), range(1 + at % EVERY, 30, EVERY))


@pytest.mark.parametrize("failure", [Crash, Failed], ids=lambda failure: failure.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_comes_late_comes_at_any_time(case: Case, failure: type[BaseException]) -> None:
    require_fenced(case, failure)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_disk_is_full_from_any_line_of_the_journal_on(case: Case) -> None:
    lines = sizes(case)
    assert len(lines) > 5
    for size in lines[:-1]:
        require_honest(case, size)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_pool_is_full_from_any_touch_on(case: Case) -> None:
    for at in range(1, uncut(case)[1] + 1):
        full_pool.require_honest(case, at)


@pytest.mark.parametrize("scenario", [*scenarios.ALL, *branched.ALL], ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[], None]) -> None:
    scenario()
