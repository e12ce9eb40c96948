"""What suites of real parts stand on: one engine or pool a module; for ZFS a fresh root, or a fake, for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.zfs import Zfs
from tests.adapters.engines import RealEngine, real_engine
from tests.adapters.pools import GROUNDS, Ground, ground_of, opened_pool


@pytest.fixture(scope="module")
def real() -> Iterator[RealEngine]:
    """A real engine, started for the first test that wants it."""
    with real_engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zfs]:
    """A real pool, opened for the first test that wants it."""
    with opened_pool(tmp_path_factory.mktemp("pool")) as zfs:
        yield zfs


@pytest.fixture(params=GROUNDS)
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    """Each ground in turn."""
    return ground_of(request, tmp_path / "volumes", tmp_path.name)
