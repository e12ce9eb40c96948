"""The law on several machines, also as they come and leave: whoever crashes, any call that is lost, late or doubled."""

import os
from collections.abc import Iterator
from itertools import islice

import pytest

from daemon.primitives import store_move
from tests.fakes.engine import digest
from tests.law import cases
from tests.law.cases import Case
from tests.law.law import FAILURES, ID, WHENS, assert_same, cuts, prepared, require_law, require_recovered, uncut
from tests.law.machines import CASES as ON_THREE
from tests.law.machines import shop
from tests.law.members import CASES as MEMBERS
from tests.law.sound import head_of, require_sound
from tests.law.world import Crash, Cut, Failed, ask, seen

SHARES = dict.fromkeys(ON_THREE, 10) | dict.fromkeys(MEMBERS, 5)
"""No multiples of three: a touch has that many cuts, and all of a share would be of one kind."""
CASES = tuple(SHARES)


def every(case: Case) -> int:
    """Of its cuts each so many is tried: all of them take long (PLOYZ_LAW_EVERY=1)."""
    return int(os.environ.get("PLOYZ_LAW_EVERY", SHARES[case]))


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_move, "LOOKS", 1)


def some(case: Case, failure: type[BaseException]) -> Iterator[Cut]:
    """A share of the cuts, another one for each kind of failure."""
    for number, cut in enumerate(cuts(case, failure)):
        if (number + FAILURES.index(failure)) % every(case) == 0:
            yield cut


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_uncut_it_ends_as_it_should(case: Case) -> None:
    ending, touches, after = uncut(case)
    assert ending == ("taken back" if case.fails else "done")
    assert (after == seen(prepared(case))) == (case.fails or not case.changes)
    assert touches >= 5


def test_it_really_runs_on_three_machines() -> None:
    world = prepared(ON_THREE[1])
    head = head_of(world)
    assert head
    assert {name: volume.machine for name, volume in head.volumes.items()} == {"data": "m2", "cached": "m3"}
    assert {instance.machine for instance in head.services["web"].instances} == {"m1", "m2", "m3"}
    assert all(len(iron.instances.instances) >= 1 for iron in world.irons())
    assert all(iron.firewall.maps.everybody for iron in world.irons())


@pytest.mark.parametrize("owner", ["m1", "m2"])
def test_an_image_reaches_the_machines_that_lack_it(owner: str) -> None:
    image = f"web:of-{owner}"
    world = prepared(Case("", (shop(), shop(web=f"of-{owner}")), shop(), machines=3))
    took = {iron.name for iron in world.irons() if digest(image) in iron.instances.fetched}
    assert took == {"m1", "m2", "m3"} - {owner}


def test_an_engine_that_is_down_elsewhere_holds_up_only_what_needs_its_machine() -> None:
    world = prepared(Case("", (shop(),), shop(), machines=3)).copy()
    world.sites["m3"].instances.down = True
    assert ask(world, cases.shop(namespace="other"), "op-other") == "done"
    head = head_of(world, "other")
    assert head
    assert {one.machine for service in head.services.values() for one in service.instances} <= {"m1", "m2"}
    before = seen(world)
    assert ask(world, shop(cache=2), "op-shop") == "refused"
    assert_same(seen(world), before, "refused, but")


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_share_has_every_kind_of_cut(case: Case, failure: type[BaseException]) -> None:
    assert {cut.when for cut in some(case, failure)} == set(WHENS)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cut_at_every_touch(case: Case, failure: type[BaseException]) -> None:
    for cut in some(case, failure):
        require_law(case, cut)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_crashed_and_again_while_recovering(case: Case) -> None:
    for at in range(1, uncut(case)[1] + 1, every(case)):
        require_recovered(case, Cut(at, "after", Crash), (1 + at % 7, 8 + at % 11))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_comes_late_comes_at_any_time(case: Case) -> None:
    for cut in some(case, Failed):
        if cut.when == "late" and require_law(case, cut).late:
            for lag in (1, 3, 8):
                require_law(case, cut, lag=lag)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_call_arrives_twice(case: Case) -> None:
    world = prepared(case).copy()
    world.doubled = True
    assert ask(world, case.ask, ID) == uncut(case)[0]
    assert_same(seen(world), uncut(case)[2], "with every call twice")
    require_sound(world, "with every call twice")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_call_arrives_twice_and_it_is_cut(case: Case) -> None:
    """Of a share of the cuts so many."""
    for failure in FAILURES:
        for cut in islice(some(case, failure), FAILURES.index(failure), None, 13):
            require_law(case, cut, doubled=True)
