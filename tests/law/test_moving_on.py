"""The store's move when its coordinator is gone, at every touch, and perhaps goes on later."""

import os
from collections.abc import Callable

import pytest

from daemon.primitives import store_move
from tests.law import moving_on
from tests.law.cases import Case
from tests.law.moving_on import CASES, require_moved_on
from tests.law.taking_over import WAYS, Way

EVERY = int(os.environ.get("PLOYZ_LAW_EVERY", "2"))
"""Of the touches at which m1 may stop so many is tried (PLOYZ_LAW_EVERY=1: all)."""


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_move, "LOOKS", 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_another_machine_brings_it_to_its_end_alone(case: Case, way: Way) -> None:
    require_moved_on(case, EVERY, way)


@pytest.mark.parametrize("scenario", moving_on.SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[], None]) -> None:
    scenario()


def test_where_only_its_coordinator_could_tell_nobody_guesses() -> None:
    moving_on.nobody_guesses_where_only_its_coordinator_could_tell(EVERY)
