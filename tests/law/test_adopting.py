"""A machine joins with data of a life before: whatever cuts it, that is all there, and either as it was or adopted."""

import os
from collections.abc import Callable

import pytest

from daemon.primitives import join
from tests.law import adopting
from tests.law.adopting import JOIN, JOINS, require_adopted, returned
from tests.law.law import FAILURES, OVER, WHENS, assert_same, restarted
from tests.law.world import Crash, Cut, World, ask, seen

EVERY = int(os.environ.get("PLOYZ_LAW_EVERY", "2"))
"""Of the cuts each so many is tried (PLOYZ_LAW_EVERY=1)."""


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join, "PAUSES", ())


@pytest.mark.parametrize("scenario", adopting.ALL, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[], None]) -> None:
    scenario()


def touches(openzfs: bool) -> int:
    world = returned(openzfs=openzfs)
    world.touches = 0
    assert ask(world, JOIN, JOINS) == "done"
    return world.touches


def resolved(world: World, cut: Cut, second: int = 0) -> str:
    """Have it join with this cut, and start again, perhaps cut once more, until it is over. How it ended."""
    world.touches, world.cut = 0, cut
    return restarted(world, JOINS, ask(world, JOIN, JOINS), second)


@pytest.mark.parametrize("openzfs", [False, True])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
def test_cut_at_every_touch(failure: type[BaseException], openzfs: bool) -> None:
    endings = set()
    for at in range(1 + FAILURES.index(failure) % EVERY, touches(openzfs) + 1, EVERY):
        for when in WHENS:
            world, before = returned(openzfs=openzfs), returned(openzfs=openzfs)
            was = {key: value for key, value in seen(world).items() if key != "records"}
            ending = resolved(world, Cut(at, when, failure))  # type: ignore[arg-type]
            endings.add(ending)
            assert ending in OVER, f"{failure.__name__} {when} touch {at}: {ending}"
            if ending == "done":
                require_adopted(world, before)
            else:
                now = {key: value for key, value in seen(world).items() if key != "records"}
                assert_same(now, was, f"{failure.__name__} {when} touch {at}: {ending}, but")
    assert "done" in endings


def test_crashed_and_again_while_recovering() -> None:
    for at in range(1, touches(False) + 1, EVERY):
        world, before = returned(), returned()
        if resolved(world, Cut(at, "after", Crash), 1 + at % 5) == "done":
            require_adopted(world, before)


def test_a_pool_without_room_is_refused_before_anything_is_changed() -> None:
    world = returned()
    world.zfs.full, was = True, seen(world)
    assert ask(world, JOIN, JOINS) == "refused"
    assert_same(seen(world), was, "refused, but")
