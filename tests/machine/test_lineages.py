"""Families of branches on a real pool: a fixed, small share of what `python -m tests.machine.lineages` makes."""

import pytest

from tests.machine.cluster import Cluster
from tests.machine.lineages import deep, rolled_back, wide


def test_a_branch_of_a_branch_is_its_own_and_the_root_is_purged_first(cluster: Cluster) -> None:
    deep(cluster, 3, from_the_root=True)


def test_branches_that_are_begun_at_the_same_time_and_the_source_is_purged_first(cluster: Cluster) -> None:
    wide(cluster, 3, from_the_root=True)


@pytest.mark.parametrize("from_the_root", [True, False])
def test_a_source_that_was_rolled_back_to_before_its_branch(cluster: Cluster, *, from_the_root: bool) -> None:
    rolled_back(cluster, from_the_root=from_the_root)
