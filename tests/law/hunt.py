"""Run some of the law as a program, up to the first violation: `python -m tests.law.hunt CHECK…`.

A check is a scenario's name, or `cut`, `again`, `late` or `full`, a colon, and a case's name. It writes BEGUN, and ends
with the traceback of the first violation: of an assertion, or of whatever the mutant broke in a way that none words.
"""

import sys
from collections.abc import Callable
from functools import partial

from tests.law import scenarios
from tests.law.cases import Case
from tests.law.full import require_honest, sizes
from tests.law.law import FAILURES, cuts, require_fenced, require_law, uncut
from tests.law.world import Crash, Cut, Failed

BEGUN = "the hunt begins"


def cut(case: Case) -> None:
    for failure in FAILURES:
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


def check(name: str) -> Callable[[], None]:
    """Raises KeyError or ValueError for a name that is no check's."""
    kind, colon, case = name.partition(":")
    if colon:
        return partial({"cut": cut, "again": again, "late": late, "full": full}[kind], scenarios.case(case))
    return {scenario.__name__: scenario for scenario in scenarios.ALL}[name]


def main(names: list[str]) -> None:
    checks = [check(name) for name in names]
    print(BEGUN, flush=True)
    for run in checks:
        run()


if __name__ == "__main__":
    main(sys.argv[1:])
