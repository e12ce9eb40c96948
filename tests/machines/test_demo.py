"""The walk of `dev/demo --machines 3`, as it is, and `--down`."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.machine.cluster import HOUSE, Cluster, scratch
from tests.machine.left import left

NAMES = ("m1", "m2", "m3")


@pytest.fixture
def demo() -> Iterator[Cluster]:
    """Its cluster, which is not there yet."""
    with scratch("demo") as made:
        yield made


def walked(demo: Cluster, *words: str) -> str:
    """What the program says; it has to succeed."""
    program = [sys.executable, str(HOUSE / "dev" / "walk.py"), *words]
    ran = subprocess.run(program, env=demo.environment, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_demo_walks_on_three_machines_and_nothing_of_it_is_left(demo: Cluster) -> None:
    told = walked(demo, "--machines", "3")
    for name in NAMES:
        assert f"      web on {name}, at " in told
        assert (demo.on(name).get("/version"), demo.on(name).get("/rows")) == ("2", "5")
    assert f"{demo.url.replace('127.0.0.1', 'shop.localhost')}/rows" in told, "where to look is said"
    assert [row["name"] for row in demo.done("machine", "ls")["machines"]] == [*NAMES]
    assert "Nothing of the demo is left" in walked(demo, "--down")
    assert left(demo.root, demo.name) == []
    assert "There was nothing." in walked(demo, "--down")
