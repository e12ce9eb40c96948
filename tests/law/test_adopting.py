"""What a machine brings along as it joins is adopted, and what comes later leaves that alone."""

from collections.abc import Callable

import pytest

from tests.law import adopting


@pytest.mark.parametrize("scenario", adopting.ALL, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[], None]) -> None:
    scenario()
