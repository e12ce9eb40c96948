"""A machine joins a cluster: whichever is cut, or what they say to each other, it is in, or all is as it was."""

import asyncio
import os
from collections.abc import Callable, Iterator

import pytest

from daemon.primitives import join
from tests.law import joining
from tests.law.coming import invited, seen_here, seen_there
from tests.law.joining import require_law, uncut
from tests.law.law import FAILURES, WHENS, assert_same
from tests.law.world import Crash, Cut, Failed

EVERY = int(os.environ.get("PLOYZ_LAW_EVERY", "2"))
"""Of the cuts each so many is tried (PLOYZ_LAW_EVERY=1). No multiple of three: a touch has that many."""


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "PAUSES", ())


def some(failure: type[BaseException], openzfs: bool = False) -> Iterator[Cut]:
    """A share of the cuts, another one for each kind of failure."""
    for number in range(FAILURES.index(failure) % EVERY, 3 * uncut(openzfs)[0], EVERY):
        yield Cut(1 + number // 3, WHENS[number % 3], failure)  # type: ignore[arg-type]


@pytest.mark.parametrize("scenario", joining.ALL, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[], None]) -> None:
    scenario()


@pytest.mark.parametrize("openzfs", [False, True])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
def test_cut_at_every_touch(failure: type[BaseException], openzfs: bool) -> None:
    endings = {require_law(cut, openzfs=openzfs) for cut in some(failure, openzfs)}
    assert {"done"} < endings <= {"done", "refused", "taken back"}


@pytest.mark.parametrize("again", FAILURES, ids=lambda failure: failure.__name__)
@pytest.mark.parametrize("failure", FAILURES[:2], ids=lambda failure: failure.__name__)
def test_cut_and_again_while_it_goes_on(failure: type[BaseException], again: type[BaseException]) -> None:
    for number, cut in enumerate(some(failure)):
        if number % 3 == FAILURES.index(again):
            require_law(cut, second=Cut(1 + number % 7, WHENS[number // 3 % 3], again))  # type: ignore[arg-type]


def test_the_door_stays_away_for_a_while() -> None:
    for cut in some(Crash):
        require_law(cut, off=1 + cut.at % 3)


def test_what_comes_late_comes_at_any_time() -> None:
    for failure in (Crash, Failed):
        for cut in some(failure):
            for lag in (1, 3, 8) if cut.when == "late" else ():
                require_law(cut, lag=lag)


def test_each_knock_arrives_twice() -> None:
    """Also where it is cut."""
    for failure in FAILURES:
        for number, cut in enumerate(some(failure)):
            if number % 5 == 0:
                require_law(cut, doubled=True)


def test_a_pool_without_room_is_refused_before_anything_is_changed() -> None:
    it, before = invited().copy(), invited()
    it.guest.zfs.full = True
    assert asyncio.run(it.ends()) == "refused"
    assert_same(seen_here(it), seen_here(before), "refused, but")
    assert_same(seen_there(it), seen_there(before), "refused, but")
