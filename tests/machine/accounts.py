"""What a failure's report tells of the clusters that it happened on: a cluster's folder is gone soon after."""

import subprocess
from collections.abc import Generator, Iterator

import pytest

from tests.machine.cluster import Cluster

LINES = 25
PROCESSES = ("ps", "-eo", "pid,ppid,stat,etimes,args", "--width", "120")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of each daemon's log, and what runs, to the report of what failed."""
    report = yield
    if report.failed:
        for cluster in getattr(item, "funcargs", {}).values():
            if isinstance(cluster, Cluster):
                report.sections += _accounts(cluster)
    return report


def _accounts(cluster: Cluster) -> Iterator[tuple[str, str]]:
    for log in sorted((cluster.root / cluster.name).glob("*/ployzd.log")):
        said = log.read_text(errors="replace").splitlines()[-LINES:]
        yield f"ployzd of {cluster.name}'s {log.parent.name}", "\n".join(said)
    yield "what runs", subprocess.run(PROCESSES, capture_output=True, text=True).stdout
