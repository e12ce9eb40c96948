"""Whoever looks from outside never sees two writers on a generation, nor an answer that was not committed."""

import json
import secrets
from datetime import datetime
from pathlib import Path

from tests.machine.cluster import Cluster, wait_until
from tests.machine.cutting import lines
from tests.machine.explained import explained
from tests.machine.test_killed import new_version
from tests.machine.watcher import Watch

MILLISECOND = 0.001
"""The journal's times are cut to it."""


def moment(cluster: Cluster, operation: str, kind: str) -> float:
    """When the journal says that it was so, in seconds since the epoch."""
    events = [json.loads(line) for line in lines(cluster.journal(operation))[1:-1]]
    [at] = [event["at"] for event in events if event["kind"] == kind]
    return datetime.fromisoformat(at).timestamp()


def require_one_flip(cluster: Cluster, watch: Watch, operation: str, old: str, new: str) -> None:
    """No candidate answered before the commit, and nothing old after the end."""
    commits, ends = (moment(cluster, operation, kind) for kind in ("committing", "finished"))
    answers = watch.versions.good()
    early = [answer for answer in answers if answer.text != old and answer.came < commits]
    late = [answer for answer in answers if answer.text != new and answer.sent > ends + MILLISECOND]
    assert (early, late) == ([], [])
    assert {answer.text for answer in answers} == {old, new}
    assert any(answer.came < commits for answer in answers)
    assert any(answer.sent > ends + MILLISECOND for answer in answers)


def require_single_writers(watch: Watch, generations: int) -> None:
    """They were all seen with a writer, and never with two at a time."""
    assert watch.writers.together == []
    assert len(watch.writers.seen) == generations, dict(watch.writers.seen)


def newer(watch: Watch, version: str) -> bool:
    return any(answer.text == version for answer in watch.versions.answers[-3:])


def answers_now(watch: Watch, version: str) -> None:
    """Wait until it is answered so to somebody who asks from now on."""
    before = len(watch.versions.answers)
    wait_until(
        lambda: any(answer.text == version for answer in watch.versions.answers[before + 1 :]), f"{version} answers"
    )


def id() -> str:
    return f"watched-{secrets.token_hex(4)}"


def test_a_deploy_of_web_flips_once_and_fails_nobody(shop: Cluster) -> None:
    operation = id()
    with Watch(shop) as watch:
        wait_until(lambda: newer(watch, "1"), "the old version answers")
        shop.done("deploy", "-f", "shop-2.toml", "--op-id", operation)
        answers_now(watch, "2")
    require_one_flip(shop, watch, operation, "1", "2")
    require_single_writers(watch, 1)
    assert watch.versions.failures() == []
    assert watch.rows.failures() == []
    assert watch.acknowledged <= {id for id, _ in shop.rows()}


def test_a_deploy_that_replaces_the_database_loses_no_row(shop: Cluster, tmp_path: Path) -> None:
    words = new_version(tmp_path / "shop.toml", "watched")
    with Watch(shop) as watch:
        wait_until(lambda: newer(watch, "1"), "the old version answers")
        shop.done(*words)
        answers_now(watch, "watched")
    require_one_flip(shop, watch, words[-1], "1", "watched")
    require_single_writers(watch, 2)
    assert watch.versions.failures() == []
    assert watch.acknowledged <= {id for id, _ in shop.rows()}


def test_a_deploy_that_fails_is_never_seen(shop: Cluster) -> None:
    with Watch(shop) as watch:
        wait_until(lambda: newer(watch, "1"), "the old version answers")
        assert shop.ctl("deploy", "-f", "shop-3.toml").code == 4
        wait_until(lambda: bool(watch.rows.good()), "rows are written")
    require_single_writers(watch, 2)
    assert {answer.text for answer in watch.versions.answers} == {"1"}
    assert watch.acknowledged <= {id for id, _ in shop.rows()}
    explained(shop)


def test_a_rollback_flips_once_and_writes_where_it_is_answered_from(shop: Cluster) -> None:
    shop.done("deploy", "-f", "shop-2.toml")
    operation = id()
    with Watch(shop) as watch:
        wait_until(lambda: newer(watch, "2"), "the present version answers")
        shop.done("rollback", "shop", "--op-id", operation)
        answers_now(watch, "1")
    require_one_flip(shop, watch, operation, "2", "1")
    require_single_writers(watch, 2)
    ended = moment(shop, operation, "finished")
    since = {int(answer.text) for answer in watch.rows.good() if answer.sent > ended + MILLISECOND}
    assert since <= {id for id, _ in shop.rows()}


def test_the_watcher_sees_a_second_writer(shop: Cluster) -> None:
    """What it is for: somebody starts a second container on the database's generation."""
    [database] = [name for name in shop.docker("ps", "--format", "{{.Names}}").split() if name.startswith("shop-db-")]
    mounts = shop.docker("inspect", "--format", '{{range .Mounts}}{{.Source}}{{"\\n"}}{{end}}', database)
    [place] = [source for source in mounts.split() if "/volumes/shop/data/" in source]
    with Watch(shop) as watch:
        wait_until(lambda: len(watch.writers.seen) == 1, "the writer is seen")
        assert watch.writers.together == []
        second = shop.docker("run", "-d", "-v", f"{place}:/mnt:ro", "ployz-demo/db:1", "sleep", "60")
        try:
            wait_until(lambda: bool(watch.writers.together), "two writers are seen")
        finally:
            shop.docker("rm", "-f", second)
