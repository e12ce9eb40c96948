"""Some of the law, up to the first violation, for a program (tests.law.mutant is it).

A check is a scenario's name; or one of KINDS, a colon, and a case's name; or `life:` and the seed of one of
tests.law.lives. It writes BEGUN, and raises the first violation: an assertion's, or whatever the mutant broke in a way
that none words.
"""

from collections.abc import Callable, Sequence
from functools import partial

from daemon.primitives import join, store_move
from tests.law import adopting, branched, copying, joining, leaving, moving, scenarios
from tests.law.cases import CASES, Case
from tests.law.faked import live
from tests.law.full import require_honest, sizes
from tests.law.law import FAILURES, cuts, require_fenced, require_law, uncut
from tests.law.moving_on import CASES as MOVES
from tests.law.moving_on import SCENARIOS as MOVED
from tests.law.moving_on import require_moved_on
from tests.law.taking_over import ALL, SCENARIOS, WAYS, require_taken_over
from tests.law.world import Crash, Cut, Failed

BEGUN = "the hunt begins"


def cut(case: Case) -> None:
    for failure in FAILURES:
        cut_so(failure, case)


def cut_so(failure: type[BaseException], case: Case) -> None:
    for each in cuts(case, failure):
        require_law(case, each)


def again(case: Case) -> None:
    for at in range(1, uncut(case)[1] + 1):
        require_law(case, Cut(at, "after", Crash), 1 + at % 7)


def late(case: Case) -> None:
    require_fenced(case, Failed)


def full(case: Case) -> None:
    for size in sizes(case)[:-1]:
        require_honest(case, size)


def taken(case: Case) -> None:
    for way in WAYS:
        require_taken_over(case, 1, way)


def moved(case: Case) -> None:
    store_move.LOOKS = 1
    for way in WAYS:
        require_moved_on(case, 1, way)


KINDS: dict[str, Callable[[Case], None]] = {
    "cut": cut,
    "again": again,
    "late": late,
    "full": full,
    "taken": taken,
    "moved": moved,
    **{failure.__name__: partial(cut_so, failure) for failure in FAILURES},
}
"""`cut` is with all failures, one after the other; `Crash:…`, for one, with that alone."""


def check(name: str) -> Callable[[], None]:
    """Raises KeyError or ValueError for a name that is no check's."""
    kind, colon, case = name.partition(":")
    if kind == "life":
        return partial(live, int(case))
    if colon:
        return partial(KINDS[kind], {each.name: each for each in (*CASES, *ALL, *MOVES)}[case])
    found = (
        *(*scenarios.ALL, *branched.ALL, *moving.ALL, *leaving.ALL, *copying.ALL),
        *(*adopting.ALL, *joining.ALL, *SCENARIOS, *MOVED),
    )
    return {scenario.__name__: scenario for scenario in found}[name]


def main(names: Sequence[str]) -> None:
    checks, join.PAUSES = [check(name) for name in names], ()
    print(BEGUN, flush=True)
    for run in checks:
        run()
