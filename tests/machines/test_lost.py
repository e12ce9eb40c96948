"""The machine that a volume is moved from dies for good, and it was the one that saw to the move."""

from collections.abc import Iterator

import pytest

from tests.machine.cluster import Cluster, scratch
from tests.machines.lost import COMMITS, lost_with_its_coordinator


@pytest.fixture
def three() -> Iterator[Cluster]:
    with scratch("lost") as made:
        made.up(3)
        yield made


def test_what_came_outlives_its_source_and_whoever_coordinated(three: Cluster) -> None:
    """A share of what `tests.machines.lost` does."""
    lost_with_its_coordinator(three, COMMITS)
