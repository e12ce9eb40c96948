"""A database that is exported while it is written to, imported under another name, and started there.

`PLOYZ_CARRIED=1GiB dev/sandbox .venv/bin/python -m pytest tests/machine/test_large.py -s` does it with a large one, and
prints what it took; the suite does it with a small one. Every transaction that was acknowledged before the snapshot is
there: by the clock of the journal, which says when the snapshot was begun.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.machine.cluster import Cluster, wait_until
from tests.machine.cutting import lines
from tests.machine.manifests import demo

UNITS = {"MiB": 2**20, "GiB": 2**30}
SIZE = os.environ.get("PLOYZ_CARRIED", "24MiB")
BYTES = int(SIZE[:-3]) * UNITS[SIZE[-3:]]
ROW = 64 * 1024
TABLE = "CREATE TABLE bulk (id serial PRIMARY KEY, body bytea); ALTER TABLE bulk ALTER body SET STORAGE EXTERNAL"
DIGEST = "SELECT count(*), md5(string_agg(md5(body), '' ORDER BY id)) FROM bulk"


def inside_database(cluster: Cluster, namespace: str, sql: str) -> tuple[str, ...]:
    """The words that have its psql do that."""
    [id] = [row["id"] for row in cluster.done("ps", namespace)["instances"] if row["service"] == "db"]
    return ("docker", "-H", f"unix://{cluster.engine}", "exec", "-i", id, "psql", "-U", "shop", "-qAtc", sql)


def psql(cluster: Cluster, namespace: str, sql: str) -> str:
    return cluster.inside(*inside_database(cluster, namespace, sql), within=1800).strip()


def fill(cluster: Cluster) -> None:
    """Rows of noise, which nothing compresses."""
    psql(cluster, "large", TABLE)
    words = inside_database(cluster, "large", "COPY bulk (body) FROM STDIN")
    entering = ("nsenter", "--target", str(cluster.holder()), "--mount", "--net", "--pid", "--")
    with subprocess.Popen((*entering, *words), stdin=subprocess.PIPE) as copying:
        assert copying.stdin
        for _ in range(BYTES // ROW):
            copying.stdin.write(b"\\\\x" + os.urandom(ROW).hex().encode() + b"\n")
    assert copying.returncode == 0
    psql(cluster, "large", "CHECKPOINT")


@contextmanager
def written(cluster: Cluster) -> Iterator[dict[int, float]]:
    """Meanwhile rows are added: when each was acknowledged, by its id."""
    acknowledged: dict[int, float] = {}
    over = Event()

    def write() -> None:
        while not over.is_set():
            acknowledged[int(cluster.get("/rows", method="POST", host="large.localhost"))] = time.time()

    writer = Thread(target=write)
    writer.start()
    try:
        wait_until(lambda: len(acknowledged) > 20, "rows are written")
        yield acknowledged
    finally:
        over.set()
        writer.join()


def snapshot_begun(journal: Path) -> float:
    events = [json.loads(line) for line in lines(journal)[1:]]
    at = next(each["at"] for each in events if each.get("kind") == "doing" and "snapshot" in each["step"])
    return datetime.fromisoformat(at).timestamp()


def sized(namespace: str) -> str:
    """The demo, with room for all of it."""
    quota = json.dumps(f"{4 * BYTES // 2**20 + 1024}MiB")
    return demo(1, quota=quota, stop_grace='"60s"').replace('"shop"', f'"{namespace}"', 1)


@pytest.fixture
def large(cluster: Cluster) -> Iterator[Cluster]:
    cluster.deployed(sized("large"))
    fill(cluster)
    yield cluster
    for namespace in ("large", "carried"):
        cluster.ctl("namespace", "rm", namespace, "--purge", "--yes")


@pytest.mark.timeout(3600)
def test_a_large_database_is_carried_away_while_it_is_written_to(large: Cluster, tmp_path: Path) -> None:
    file, id = tmp_path / "data", "carry-1"
    digest = psql(large, "large", DIGEST)
    with written(large) as acknowledged:
        took = {"export": timed(large, "volume", "export", "large/data", "-o", str(file), "--op-id", id)}
        count = len(acknowledged)
        wait_until(lambda: len(acknowledged) > count, "it is written to afterwards, too")
    begun = snapshot_begun(large.journal(id))
    promised = {row for row, at in acknowledged.items() if at < begun}
    took["import"] = timed(large, "volume", "import", str(file), "carried/data")
    began = time.monotonic()
    large.deployed(sized("carried"))
    took["start"] = time.monotonic() - began
    there = {row for row, _ in large.rows("carried")}
    assert len(promised) > 20
    assert promised <= there, f"acknowledged before the snapshot, and not there: {sorted(promised - there)}"
    assert psql(large, "carried", DIGEST) == digest
    size = file.stat().st_size / 2**20
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in took.items())
    print(f"\n{SIZE} of rows: a file of {size:.0f} MiB; {seconds}; {len(acknowledged)} rows acknowledged meanwhile")


def timed(cluster: Cluster, *words: str) -> float:
    began = time.monotonic()
    ran = cluster.ctl(*words, within=1800)
    assert ran.code == 0, ran.out
    return time.monotonic() - began
