"""PostgreSQL moves from machine to machine while it is written to: no acknowledged row is lost, and it moves back.

Its data goes over the mesh of three real machines. Somebody looks at all of them; connections are cut on the way, and
whoever sends, receives, coordinates or asks is killed.
"""

import json
import secrets
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from tests.machine.clients import watching
from tests.machine.cluster import Cluster, wait_until
from tests.machine.cutting import lines, says
from tests.machine.manifests import demo
from tests.machine.test_watched import MILLISECOND, moment
from tests.machine.watcher import Watch
from tests.machines.moves import (
    BULK,
    MACHINES,
    PLACED,
    RATE,
    SHOP,
    another,
    cut_off,
    generations,
    killed,
    placed,
    present,
    program,
    signed,
    sql,
    struck,
    where,
    written_to,
)
from tests.machines.remains import require_nothing_left

OFTEN = 0.05
"""Seconds between one look at all machines and the next: half of them are closer together, on a busy machine too."""
SHORTLY = 0.5
"""Seconds before the stop of a database within which somebody got an answer."""


@pytest.fixture(scope="module")
def shop(many: Cluster) -> Iterator[Cluster]:
    with placed(many):
        yield many


def migrated(shop: Cluster, to: str, *words: str) -> Any:
    told = shop.done("migrate", "apply", "shop/db", "--to", to, *words)
    assert (told["to"], where(shop)) == (to, to)
    [volume] = told["volumes"]
    return volume


def migrated_slowly(shop: Cluster, to: str) -> Any:
    """Likewise; and whoever waits for it hears how far it is."""
    ran = shop.plain("--events", "migrate", "apply", "shop/db", "--to", to, "--rate", RATE)
    assert ran.code == 0, ran.out + ran.err
    *events, ended = map(json.loads, ran.out.splitlines())
    told = [one for one in events if one["kind"] == "doing" and "copy data" in one["step"] and "bytes" in one]
    bytes = [one["bytes"] for one in told]
    assert len(told) >= 2, events
    assert bytes == sorted(bytes)
    assert bytes[0] < bytes[-1], "it has moved on"
    assert {one["total"] for one in told} == {told[0]["total"]}
    assert told[0]["total"] > bytes[0]
    assert where(shop) == to
    [volume] = ended["result"]["volumes"]
    return volume


def test_it_moves_under_load_and_moving_back_sends_what_changed(shop: Cluster) -> None:
    with written_to(shop):
        there = migrated_slowly(shop, "m2")
    shop.done("restart", "shop/db")
    with written_to(shop):
        back = migrated(shop, "m1")
    assert there["bytes_full"] > 10 * back["bytes_full"] > 0
    assert max(there["bytes_last"], back["bytes_last"]) < there["bytes_full"] / 4
    assert back["generation"] in generations(shop, "m1")
    kept = shop.on("m2").done("volume", "ls", "shop", "--kept")["volumes"]
    assert [(one["machine"], one["name"]) for one in kept] == [("m2", "data")]
    assert shop.deployed(PLACED)["previous"] is None, "the same manifest changes nothing"
    assert shop.done("rollback", "shop")["volumes"][0]["machine"] == "m1", "of before the restart, on m2"
    with written_to(shop):
        migrated(shop, "m3")
    assert len(generations(shop, "m3")) == 2, "with what the rollback left"
    assert shop.done("rollback", "shop")["volumes"][0]["machine"] == "m3", "of before the rollback"


def test_whoever_sees_all_machines_sees_one_writer_and_answers_of_the_head_alone(shop: Cluster) -> None:
    operation, old = f"op-seen-{secrets.token_hex(3)}", present(shop)
    with signed(shop):
        with Watch(shop, MACHINES) as watch:
            wait_until(lambda: len(watch.rows.good()) > 10, "rows are written")
            migrated(shop, another(where(shop), "m2", "m3"), "--op-id", operation)
            before = len(watch.rows.good())
            wait_until(lambda: len(watch.rows.good()) > before + 10, "rows are written still")
        written, new = dict(shop.on(where(shop)).rows()), present(shop)
    require_head_alone(shop, watch, operation, (old, new), written)
    median, most = watch.writers.gaps()
    shown = f"looked every {median * 1000:.0f} ms, 95 of 100 times within {most * 1000:.0f} ms"
    assert median <= OFTEN, shown
    print(shown)
    with pytest.raises(AssertionError):
        require_head_alone(shop, watch, operation, (new, old), written)


def begins(shop: Cluster, operation: str, words: str) -> float:
    """When the journal says that a step began, in seconds since the epoch."""
    events = [json.loads(line) for line in lines(shop.journal(operation))[1:-1]]
    [at] = [one["at"] for one in events if one["kind"] == "doing" and words in one["step"]]
    return datetime.fromisoformat(at).timestamp()


def require_head_alone(
    shop: Cluster, watch: Watch, operation: str, moved: tuple[str, str], written: dict[int, str]
) -> None:
    """Of the two generations the first one had its one writer, and answered, until the commit, and then the second."""
    old, new = moved
    assert watch.writers.together == []
    assert {name for name in watch.writers.seen if "/shop/" in name} == {old, new}
    assert watch.writers.spans[old][1] < watch.writers.spans[new][0]
    assert watch.acknowledged <= written.keys()
    commits, committed = (moment(shop, operation, kind) for kind in ("committing", "committed"))
    told = [(answer, written[int(answer.text)]) for answer in watch.rows.good()]
    early = [answer for answer, by in told if by != old and answer.came < commits]
    late = [answer for answer, by in told if by != new and answer.sent > committed + MILLISECOND]
    assert (early, late) == ([], [])
    assert {by for _, by in told} == {old, new}
    stops = begins(shop, operation, "stop shop-db")
    last = max((answer.came for answer, by in told if by == old and answer.came <= stops), default=0.0)
    assert stops - last <= SHORTLY, f"the last answer before the stop came {stops - last:.3f} s before it"


def test_the_watcher_sees_a_second_writer_wherever_it_is(shop: Cluster) -> None:
    there, generation = shop.on(where(shop)), present(shop)
    assert there.at != "m1", "it was moved away from there"
    mounts = there.docker("inspect", "--format", '{{range .Mounts}}{{.Source}}{{"\\n"}}{{end}}', there.database())
    [place] = [source for source in mounts.split() if "/volumes/shop/data/" in source]
    image = there.docker("inspect", "--format", "{{.Image}}", there.database())
    with Watch(shop, MACHINES) as watch:
        wait_until(lambda: generation in watch.writers.seen, "the writer is seen")
        assert watch.writers.together == []
        second = there.docker("run", "-d", "-v", f"{place}:/mnt:ro", "--entrypoint", "sleep", image, "60")
        try:
            wait_until(lambda: bool(watch.writers.together), "two writers are seen")
        finally:
            there.docker("rm", "-f", second)


def test_each_cut_on_the_way_costs_what_was_under_way(shop: Cluster) -> None:
    """Whoever sends is killed, whoever receives, and then the connection itself is."""
    source, target, operation = where(shop), another(where(shop), "m2", "m3"), f"op-cut-{secrets.token_hex(3)}"
    sql(shop, BULK)
    words = ("--json", "migrate", "apply", "shop/db", "--to", target, "--rate", RATE, "--op-id", operation)
    with written_to(shop), shop.begin(*words) as moving:
        for machine, what in ((source, "send"), (target, "receive")):
            wait_until(partial(struck, shop, machine, what), f"whoever is to {what} on {machine} is killed")
        wait_until(lambda: program(shop, source, "send") is not None, "it is sent again")
        with cut_off(shop.on(target)):
            wait_until(lambda: program(shop, source, "send") is None, "the connection is cut")
        out, _ = moving.communicate(timeout=90)
    told = json.loads(out)
    assert told["ok"], told
    assert where(shop) == target
    assert "failed" not in [event["kind"] for event in shop.done("op", "show", operation)["events"]]


@pytest.mark.parametrize(
    ("victim", "when"),
    [
        ("coordinator", ("send the last of",)),
        ("source", ('"committing"',)),
        ("target", ("stop shop-db",)),
        ("plug", ("send the last of",)),
        ("client", ('"doing"', "copy data")),
    ],
)
def test_whoever_is_killed_it_comes_to_an_end(shop: Cluster, victim: str, when: tuple[str, ...]) -> None:
    """A share of what `tests.machines.moves` does."""
    told = killed(shop, another(where(shop), "m2", "m3"), victim, says(*when))
    assert told, "there was somebody to kill"
    assert told["ok"] or victim != "client"


def test_a_machine_is_emptied_while_it_is_written_to(shop: Cluster) -> None:
    source = where(shop)
    listed = shop.ctl("machine", "drain", source, "--preview").json["result"]
    assert [(one["volume"], one["from"]) for one in listed["moves"]] == [("shop/data", source)]
    with written_to(shop):
        moved = shop.done("machine", "drain", source)["moved"]
    assert {f"{one['namespace']}/{one['service']}" for one in moved} >= {"shop/db"}
    assert shop.on(source).docker("ps", "-q") == ""
    assert shop.done("op", "show", moved[0]["operation"])["operation"]["state"] == "done"
    assert shop.done("machine", "drain", source)["moved"] == []
    assert shop.ctl("migrate", "apply", "shop/db", "--to", source).error["code"] == "machine.draining"
    shop.done("machine", "undrain", source)
    with written_to(shop):
        migrated(shop, source)


def test_what_is_kept_where_it_was_is_every_row_of_before(shop: Cluster) -> None:
    """Its machine makes a volume of it, also while the one that has the volume now does not answer."""
    source, left = where(shop), present(shop).rpartition("/")[2]
    target = another(source, "m2", "m3")
    sql(shop, "INSERT INTO rows (by) VALUES ('before')")
    before = shop.on(source).rows()
    migrated(shop, target)
    sql(shop, "INSERT INTO rows (by) VALUES ('after')")
    kept = shop.done("volume", "ls", "shop", "--kept")["volumes"]
    [snapshot] = [one["snapshot"] for one in kept if (one["machine"], one["generation"]) == (source, left)]
    shop.on(target).kill_daemon()
    try:
        made = shop.done("volume", "restore", f"shop/data@{snapshot}", "again/data")
        assert made["machine"] == source
        shop.deployed(demo(1).replace('namespace = "shop"', 'namespace = "again"'))
        assert shop.on(source).rows("again") == before
    finally:
        shop.up()
    shop.done("namespace", "rm", "again", "--purge", "--yes")
    assert shop.on(target).rows()[-1][1] == "after"
    require_nothing_left(shop, "shop", MACHINES)


def test_a_service_without_volumes_moves_and_no_request_is_lost(shop: Cluster) -> None:
    [web] = [row for row in shop.done("ps", "shop")["instances"] if row["service"] == "web"]
    target = another(web["machine"], "m1", "m2")
    with watching(shop.url, SHOP, 2) as told:
        moved = shop.done("migrate", "apply", "shop/web", "--to", target)
    assert (moved["from"], moved["to"], moved["volumes"], moved["downtime_s"]) == (web["machine"], target, [], 0.0)
    assert told.requests > 20
    assert told.failures == []
    refused = shop.ctl("migrate", "apply", "shop/web", "--to", target)
    assert (refused.code, refused.error["code"]) == (3, "migrate.there")
    shown = shop.done("migrate", "preview", "shop/db", "--to", another(where(shop), "m1", "m2"))
    [move] = shown["moves"]
    assert move["rounds"] >= 2
    assert move["bytes"] > 0
    assert move["free"] > 2**30
