"""SQLite, Redis, PostgreSQL: written to, deployed anew, moved between containers and the machine, and rolled back."""

from collections.abc import Iterator

import pytest

from tests.machine.cluster import Cluster
from tests.machine.explained import explained
from tests.machine.workloads import REDIS_IMAGE, cache, ledger, pack_redis, postgres

LEDGER = "ledger.localhost"


@pytest.fixture
def bare(cluster: Cluster) -> Iterator[Cluster]:
    """Nothing of theirs is left afterwards."""
    yield cluster
    for namespace in ("ledger", "cache", "pg"):
        if namespace in [one["name"] for one in cluster.done("namespace", "ls")["namespaces"]]:
            cluster.done("namespace", "rm", namespace, "--purge", "--yes")


def rows(cluster: Cluster, method: str = "GET") -> list[str]:
    """Each row is the version that wrote it."""
    return cluster.get("/rows", method=method, host=LEDGER).split()


def test_sqlite_in_a_container_and_as_a_process_of_the_machine(bare: Cluster) -> None:
    bare.deployed(ledger("c1", "docker"))
    rows(bare, "POST")
    bare.deployed(ledger("c2", "docker"))
    assert rows(bare, "POST") == ["c1", "c2"]
    bare.done("rollback", "ledger")
    assert rows(bare, "POST") == ["c1", "c1"], "code and data of the first"
    bare.deployed(ledger("h1", "host"))
    assert rows(bare, "POST") == ["c1", "c1", "h1"], "it moved to the machine with its data"
    bare.deployed(ledger("h2", "host"))
    assert rows(bare, "POST") == ["c1", "c1", "h1", "h2"]
    bare.done("rollback", "ledger")
    assert rows(bare) == ["c1", "c1", "h1"]
    bare.done("rollback", "ledger")
    assert rows(bare) == ["c1", "c1", "h1", "h2"], "a rollback is rolled back"
    bare.deployed(ledger("c3", "docker"))
    assert rows(bare, "POST") == ["c1", "c1", "h1", "h2", "c3"]
    assert bare.get("/check", host=LEDGER) == "ok"
    explained(bare)


def pushed(cluster: Cluster, row: str) -> list[str]:
    """All rows, of which that is the newest."""
    for words in (["RPUSH", "rows", row], ["LRANGE", "rows", "0", "-1"]):
        told = cluster.done("exec", "cache/db", "--", "redis-cli", *words)
    return str(told["stdout"]).split()


def test_redis_in_a_container_and_as_a_process_of_the_machine(bare: Cluster) -> None:
    pack_redis(bare.root / "redis.tar")
    bare.docker("import", str(bare.root / "redis.tar"), REDIS_IMAGE)
    bare.deployed(cache("1", "docker"))
    assert pushed(bare, "c1") == ["c1"]
    bare.deployed(cache("2", "docker"))
    assert pushed(bare, "c2") == ["c1", "c2"]
    bare.deployed(cache("3", "host"))
    assert pushed(bare, "h3") == ["c1", "c2", "h3"]
    bare.done("rollback", "cache")
    assert pushed(bare, "c4") == ["c1", "c2", "c4"]
    explained(bare)


def ask(cluster: Cluster, sql: str) -> str:
    told = cluster.done("exec", "pg/db", "--", "psql", "-h", "/srv", "-U", "shop", "-Atc", sql, "postgres")
    assert told["code"] == 0, told
    return str(told["stdout"]).strip()


def test_postgresql_as_a_process_of_the_machine(bare: Cluster) -> None:
    bare.deployed(postgres("1"))
    ask(bare, "CREATE TABLE rows (id serial PRIMARY KEY, by text); INSERT INTO rows (by) VALUES ('one')")
    bare.deployed(postgres("2"))
    assert ask(bare, "SHOW application_name") != ""
    ask(bare, "INSERT INTO rows (by) SELECT 'two' FROM generate_series(1, 20000)")
    assert ask(bare, "SELECT count(*) FROM rows") == "20001"
    failing = postgres("3").replace('ready = { exec = ["pg_isready"', 'ready = { exec = ["false"').replace("60s", "1s")
    failed = bare.deploy(failing)
    assert (failed.code, failed.error["code"]) == (4, "instance.not_ready")
    assert ask(bare, "SELECT count(*) FROM rows") == "20001"
    bare.done("rollback", "pg")
    assert ask(bare, "SELECT by FROM rows") == "one"
    bare.done("rollback", "pg")
    assert ask(bare, "SELECT count(DISTINCT by) FROM rows") == "2"
    psql = ("psql", "-h", "db", "-U", "shop", "-Atc", "SELECT max(id) FROM rows", "postgres")
    ran = bare.ctl("run", "pg/db", "--", *psql)
    assert ran.json["result"] == {"code": 0, "stdout": "20001\n", "stderr": ""}, "beside it, under its name"
    explained(bare)
