"""What suites of real parts stand on: one engine or pool a module; for ZFS a fresh root, or a fake, for each test."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from dataplane.zfs import Zfs
from tests.adapters.engines import RealEngine, real_engine
from tests.adapters.pools import GROUNDS, Ground, fresh_root, ground_of, made, opened_pool
from tests.adapters.travels import Two, guid_of

NUMBERS = count()


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


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Zfs, Zfs]]:
    """Two real pools of one ZFS."""
    folder = tmp_path_factory.mktemp
    with opened_pool(folder("near"), "near") as near, opened_pool(folder("far"), "far") as far:
        yield near, far


@pytest.fixture
def two(pools: tuple[Zfs, Zfs], tmp_path: Path) -> Two:
    """Two machines, and a fresh volume on the first one."""
    number = next(NUMBERS)
    here, there = (fresh_root(pool, tmp_path / pool.root.partition("/")[0], f"a{number}") for pool in pools)
    made(here, "op-a")
    found = Two(here, there, 40_000 + number, guid_of(here, f"{here.zfs.root}/shop/data/op-a"))
    found.write("row", b"first")
    return found
