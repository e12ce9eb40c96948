"""A database moves while it is written to, and its connections are cut, at random moments."""

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

import pytest

from tests.machine.cluster import Cluster, wait_until
from tests.machines.moves import MACHINES, RATE, another, cut_off, placed, program, where, written_to
from tests.machines.remains import require_nothing_left

CUTS = int(os.environ.get("PLOYZ_CUTS", "8"))
"""How often it is cut: `PLOYZ_CUTS=30` takes four minutes."""
SNAPSHOTS = CUTS + 12
"""How many go along: each stream is cut once at most, and some are over before."""
PART = "CREATE TABLE part_%d AS SELECT md5(random()::text) AS body FROM generate_series(1, 40000)"
LONGEST = 0.3
"""Seconds that a connection is let be, at most."""


@pytest.fixture(scope="module")
def shop(many: Cluster) -> Iterator[Cluster]:
    with placed(many):
        yield many


@pytest.mark.parametrize("seed", [1])
def test_cuts_at_random_each_after_a_snapshot_that_came_whole(shop: Cluster, seed: int) -> None:
    chance, operation = Random(seed), f"op-cuts-{secrets.token_hex(3)}"
    source = where(shop)
    target, there = another(source, *MACHINES), shop.on(source)
    psql = ("exec", there.database(), "psql", "-U", "shop", "-Atqc")
    for number in range(SNAPSHOTS):
        there.docker(*psql, PART % number)
        shop.done("volume", "snapshot", "shop/data", f"part-{number}")
    words = ("--json", "migrate", "apply", "shop/db", "--to", target, "--rate", RATE, "--op-id", operation)
    with written_to(shop), shop.begin(*words) as moving:
        came, cuts, come = 0, 0, partial(arrived, shop, target, operation)
        while cuts < CUTS:
            came, hit = cut_after(came, come, there, shop.on(target), chance)
            cuts += hit
        out, _ = moving.communicate(timeout=240)
    assert json.loads(out)["ok"], out
    assert where(shop) == target
    require_nothing_left(shop, "shop", MACHINES)


def cut_after(
    before: int, arrived: Callable[[], int], source: Cluster, target: Cluster, chance: Random
) -> tuple[int, bool]:
    """Cut a stream once more than so many snapshots came whole: how many had, and whether it was under way still."""
    wait_until(lambda: arrived() > before, "another snapshot came whole")
    wait_until(lambda: sender(source) is not None, "the next one is on its way")
    time.sleep(chance.random() * LONGEST)
    came, pid = arrived(), sender(source)
    if not pid:
        return came, False
    with cut_off(target):
        wait_until(lambda: sender(source) != pid, "the connection is cut")
    return came, arrived() == came


def sender(source: Cluster) -> int | None:
    return program(source, source.at, "send")


def arrived(shop: Cluster, target: str, operation: str) -> int:
    """The snapshots of the new generation that are there."""
    return len([name for name in shop.on(target).datasets() if operation in name.partition("@")[0] and "@" in name])
