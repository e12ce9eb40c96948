"""Random lives on the fakes: a fixed share of those that `python -m tests.law.faked` lives."""

import pytest

from tests.law.faked import live

LEFT_OVER = (212, 366, 1189, 1437, 1574, 1690, 1980, 2091, 2887)
"""Lives after which once a snapshot, or a generation, stayed that nobody needed any more."""
MOVED = (64, 68, 79, 111)
"""Lives on several machines after which once something stayed there, or was not where its volume was."""


@pytest.mark.parametrize("seed", [*range(100), *LEFT_OVER])
def test_each_namespace_has_the_data_that_a_plain_model_says_and_in_the_end_nothing_is_left(seed: int) -> None:
    live(seed)


@pytest.mark.parametrize("seed", [*range(20), *MOVED])
def test_nor_is_there_where_data_moves_between_machines(seed: int) -> None:
    live(seed, machines=3)
