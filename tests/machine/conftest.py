"""One cluster for all tests of this folder; each test begins with an empty one of namespaces that it names itself."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.machine.accounts import pytest_runtest_makereport
from tests.machine.cluster import IMAGES, Cluster, scratch
from tests.machine.manifests import lite

__all__ = ["pytest_runtest_makereport"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A machine that is up, with the demo's images."""
    with scratch("t") as made:
        made.done("dev", "up", "--name", "t")
        subprocess.run([IMAGES, "load", made.engine], check=True, capture_output=True)
        yield made


@pytest.fixture
def shop(cluster: Cluster) -> Cluster:
    """The demo's first version, with three rows, whatever the test before left."""
    cluster.done("deploy", "-f", "shop-1.toml")
    while int(cluster.get("/rows")) < 3:
        cluster.write_row()
    return cluster


@pytest.fixture
def light(cluster: Cluster) -> Cluster:
    """The demo's web alone, in its first version, whatever the test before left."""
    cluster.deployed(lite())
    return cluster
