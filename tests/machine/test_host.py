"""Services on the host: a database and its web server as processes of the machine, without any image."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.cluster import Cluster
from tests.machine.cutting import kill_at
from tests.machine.explained import explained
from tests.machine.hosted import HOST, hosted

EVENTS = (4, 12, 20, 28, 36)
"""Lines of the journal at which the daemon is killed: before, at and after the commit."""


def row(cluster: Cluster, method: str = "GET") -> int:
    return int(cluster.get("/row", method=method, host=HOST))


def version(cluster: Cluster) -> str:
    return cluster.get("/version", host=HOST)


def left(cluster: Cluster) -> dict[str, list[str]]:
    """What the instances on the host are made of, seen from outside."""
    data = cluster.machine / "data"
    groups = cluster.inside("find", "/sys/fs/cgroup", "-mindepth", "2", "-type", "d", "-path", "*/ployz-*")
    links = json.loads(cluster.inside("ip", "-j", "link"))
    return {
        "folders": sorted(entry.name for entry in (data / "host").iterdir()),
        "groups": sorted(Path(line).name for line in groups.splitlines() if "/hosted-" in line),
        "pairs": [link["ifname"] for link in links if link["ifname"].startswith("ph")],
        "supervisors": sorted(
            Path(line.split("supervise ")[1].split()[0]).name
            for line in cluster.inside("ps", "-ww", "-eo", "args").splitlines()
            if "inside.py supervise" in line and str(data) in line and not line.startswith("unshare")
        ),
    }


def assert_made_of(cluster: Cluster) -> None:
    """Each committed instance is there, whole, once; and nothing else is."""
    ids = sorted(row["id"] for row in cluster.done("ps", "hosted")["instances"]) if deployed(cluster) else []
    found = left(cluster)
    assert (found["folders"], found["groups"], found["supervisors"]) == (ids, ids, ids)
    assert len(found["pairs"]) == len(ids)


def deployed(cluster: Cluster) -> bool:
    return any(one["name"] == "hosted" and one["services"] for one in cluster.done("status")["namespaces"])


@pytest.fixture
def host(cluster: Cluster) -> Iterator[Cluster]:
    yield cluster
    cluster.deployed('namespace = "hosted"\n')
    assert left(cluster) == {"folders": [], "groups": [], "pairs": [], "supervisors": []}


def test_a_shop_of_processes_and_its_data(host: Cluster) -> None:
    host.deployed(hosted("1"))
    assert (version(host), [row(host, "POST") for _ in range(3)]) == ("1", [1, 2, 3])
    assert {one["image"] for one in host.done("ps", "hosted")["instances"]} == {"host"}
    told = host.done("exec", "hosted/web", "--", "sh", "-c", "id -u; exit 0")
    assert told["stdout"] == "65534\n"
    host.deployed(hosted("2"))
    assert (version(host), row(host, "POST")) == ("2", 4)
    assert "Ready to accept connections" in host.plain("logs", "hosted/db").out
    assert_made_of(host)
    failed = host.deploy(hosted("3", hooks='{ before = ["sh", "-c", "echo no beans; exit 5"] }'))
    assert (failed.code, "no beans" in failed.error["why"]) == (4, True)
    assert (version(host), row(host)) == ("2", 4)
    host.done("rollback", "hosted")
    assert (version(host), row(host)) == ("1", 3), "code and data of the first deploy"
    assert_made_of(host)
    host.kill_daemon()
    assert (version(host), row(host, "POST")) == ("1", 4), "it serves without a daemon"
    host.start_daemon()
    assert_made_of(host)
    explained(host)


def test_a_deploy_of_processes_is_killed_at_its_events(host: Cluster, tmp_path: Path) -> None:
    host.deployed(hosted("0"))
    rows, now = row(host, "POST"), "0"
    for at in EVENTS:
        wanted, id = f"{at}", f"cut-{secrets.token_hex(4)}"
        (tmp_path / "hosted.toml").write_text(hosted(wanted))
        daemon = host.daemon()
        with host.begin("--json", "deploy", "-f", str(tmp_path / "hosted.toml"), "--op-id", id) as client:
            killed = kill_at(host.journal(id), at, daemon)
            client.communicate(timeout=60)
        if killed:
            host.start_daemon()
            host.settled()
        now = wanted if '"kind":"committed"' in host.journal(id).read_text() else now
        assert (version(host), row(host)) == (now, rows), f"cut at line {at}"
        rows = row(host, "POST")
        assert_made_of(host)
        explained(host)
