"""One cluster of three machines for the files that leave it as they found it; the others have clusters of their own."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.machine.accounts import pytest_runtest_makereport
from tests.machine.cluster import IMAGES, Cluster, scratch

__all__ = ["pytest_runtest_makereport"]

WEB = "ployz-demo/web:1"


@pytest.fixture(scope="session")
def many() -> Iterator[Cluster]:
    """Three machines of one cluster, all up, each with the demo's web; the first also with its other images."""
    with scratch("many") as made:
        made.up(machines=3)
        subprocess.run([IMAGES, "load", made.engine], check=True, capture_output=True)
        made.docker("save", "-o", str(made.root / "images"), WEB)
        with ThreadPoolExecutor() as loading:
            list(loading.map(lambda name: made.on(name).docker("load", "-i", str(made.root / "images")), ("m2", "m3")))
        yield made
