"""One cluster of three machines for the files that leave it as they found it; the others have clusters of their own."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.machine.accounts import pytest_runtest_makereport
from tests.machine.cluster import IMAGES, Cluster, scratch

__all__ = ["pytest_runtest_makereport"]


@pytest.fixture(scope="session")
def many() -> Iterator[Cluster]:
    """Three machines of one cluster, all up. The first has the demo's images; the others get what they are to run."""
    with scratch("many") as made:
        made.up(machines=3)
        subprocess.run([IMAGES, "load", made.engine], check=True, capture_output=True)
        yield made
