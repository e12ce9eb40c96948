"""Branching a database that is written to: what was acknowledged before is there, and nothing is shared afterwards."""

import json
from collections.abc import Iterator

import pytest

from daemon.changing import GO_ON, PAUSE
from tests.machine.clients import Written, writing
from tests.machine.cluster import DEMO, Cluster, wait_until
from tests.machine.cutting import kill_when, lines
from tests.machine.manifests import demo

PR = "pr-42.localhost"


def assert_served(writer: Written) -> None:
    """Nobody was turned away, but for the one connection that a reload of the gateway with new routes may lose."""
    assert len(writer.failures) <= 1, writer.failures
    assert all("RemoteDisconnected" in failure or "ConnectionReset" in failure for failure in writer.failures)


@pytest.fixture
def shop_alone(shop: Cluster) -> Iterator[Cluster]:
    """The demo; what is branched from it is purged afterwards."""
    yield shop
    if "pr-42" in [one["name"] for one in shop.done("namespace", "ls")["namespaces"]]:
        shop.done("namespace", "rm", "pr-42", "--purge", "--yes")


def test_a_branch_of_what_is_written_to_has_what_was_acknowledged_before_and_shares_nothing(
    shop_alone: Cluster,
) -> None:
    shop = shop_alone
    with writing(shop.url, "shop.localhost", count=2) as writer:
        wait_until(lambda: len(writer.acknowledged) > 20, "rows are written")
        before = dict(writer.acknowledged)
        done = shop.done("branch", "apply", "shop", "pr-42")
        asked = len(writer.acknowledged)
        wait_until(lambda: len(writer.acknowledged) > asked + 20, "rows are written on")
    assert_served(writer)
    assert (done["source"], done["target"], done["consistency"], done["pause_ms"]) == ("shop", "pr-42", "instant", 0)
    assert done["routes"] == [PR]
    source, copied = dict(shop.rows()), dict(shop.rows("pr-42"))
    assert before.items() <= copied.items() <= source.items()
    assert len(copied) < len(source)
    branches_own = int(shop.get("/rows", method="POST", host=PR))
    sources_own = shop.write_row()
    assert dict(shop.rows("pr-42")).keys() - copied.keys() == {branches_own}
    assert dict(shop.rows()).keys() - source.keys() == {sources_own}


def test_writers_stand_still_only_for_the_snapshots(shop_alone: Cluster) -> None:
    shop = shop_alone
    with writing(shop.url, "shop.localhost") as writer:
        wait_until(lambda: len(writer.acknowledged) > 5, "rows are written")
        done = shop.done("branch", "apply", "shop", "pr-42", "--freeze")
    assert_served(writer)
    assert 0 < done["pause_ms"] < 5000
    assert shop.paused() == []


def test_writers_go_on_without_the_ployzd_that_was_killed_while_they_stood_still(shop: Cluster) -> None:
    before, id = shop.datasets(), "op-frozen"
    words = ("branch", "apply", "shop", "pr-42", "--freeze", "--op-id", id)
    with shop.begin("--json", *words) as client:
        assert kill_when(shop.journal(id), lambda told: _is_done(PAUSE, told), shop.daemon())
        client.wait(timeout=60)
    assert not _is_done(GO_ON, lines(shop.journal(id))), "they went on before it could be cut"
    wait_until(lambda: shop.paused() == [], "nobody stands still any more")
    shop.write_row()
    assert not shop.daemon_runs(), "the daemon was back before the writers"
    shop.start_daemon()
    shop.settled()
    assert shop.ctl(*words).code == 4
    assert shop.datasets() == before


def _is_done(says: str, told: list[str]) -> bool:
    """Whether a journal says so of the step with these words."""
    events = [json.loads(line) for line in told]
    return any(one.get("kind") == "done" and one["step"].endswith(f" {says}") for one in events)


def test_a_promote_with_data_moves_code_and_data_and_can_be_rolled_back(shop_alone: Cluster) -> None:
    shop = shop_alone
    shop.done("branch", "apply", "shop", "pr-42", "--set", "web.image=ployz-demo/web:2")
    branches_own = int(shop.get("/rows", method="POST", host=PR))
    sources_own = shop.write_row()
    there = dict(shop.rows())
    done = shop.done("promote", "pr-42", "shop", "--with-data")
    assert {service["name"]: service["action"] for service in done["services"]} == {"db": "replace", "web": "replace"}
    assert shop.get("/version") == "2"
    assert dict(shop.rows()) == dict(shop.rows("pr-42"))
    assert branches_own in dict(shop.rows())
    shop.done("rollback", "shop")
    assert (shop.get("/version"), dict(shop.rows())) == ("1", there)
    assert sources_own in there


def test_a_branch_that_fails_is_taken_back_and_its_source_never_noticed(shop_alone: Cluster) -> None:
    shop = shop_alone
    before = shop.datasets(), shop.container_ids()
    with writing(shop.url, "shop.localhost") as writer:
        ran = shop.ctl("branch", "apply", "shop", "pr-43", "--set", 'web.command=["python3", "-c", "exit(7)"]')
    assert (ran.code, ran.error["state"]) == (4, "taken_back"), ran.out
    assert "ended with code 7" in ran.error["why"]
    assert_served(writer)
    assert (shop.datasets(), shop.container_ids()) == before


def test_a_purged_branch_leaves_what_was_there_before_it(shop: Cluster) -> None:
    before = shop.datasets(), shop.container_ids(), dict(shop.rows())
    shop.done("branch", "apply", "shop", "pr-42")
    shop.get("/rows", method="POST", host=PR)
    shop.done("restart", "pr-42/db")
    [row] = shop.done("branch", "ls", "shop")["branches"]
    assert (row["namespace"], row["source"]) == ("pr-42", "shop")
    assert row["bytes"] > 0
    assert [one["path"] for one in shop.done("branch", "diff", "shop", "pr-42")["code"]] == []
    assert "pr-42" in shop.plain("branch", "ls").out
    shop.done("namespace", "rm", "pr-42", "--purge", "--yes")
    assert (shop.datasets(), shop.container_ids(), dict(shop.rows())) == before


SCRUBS = """hooks = { on_branch = ["psql", "-qU", "shop", "-c", "UPDATE rows SET by = 'nobody'"] }"""
SEES = """secrets = ["GIVEN", "OWN"]
branch_secrets = ["GIVEN"]
publish = { 5003 = "web" }"""


def cleaned() -> str:
    """The demo with what a branch is kept from: rows that somebody wrote, a secret, a hostname, a port of the host."""
    text = demo(1, routes='["{namespace}.localhost", "shop.example.org"]')
    return text.replace("[services.web]", f"{SCRUBS}\n\n[services.web]\n{SEES}")


def test_a_branch_is_cleaned_before_anybody_reaches_it_and_gets_only_what_it_may(shop_alone: Cluster) -> None:
    shop, words = shop_alone, ("branch", "apply", "shop", "pr-42")
    for name in ("GIVEN", "OWN"):
        shop.done("secret", "set", f"shop/{name}", given="live")
    shop.deployed(cleaned())
    before, rows = shop.datasets(), shop.rows()
    refused = shop.ctl(*words)
    assert (refused.code, refused.error["code"]) == (3, "secret.missing")
    assert refused.error["try"] == "ployzctl secret set pr-42/OWN"
    shop.done("secret", "set", "pr-42/OWN", given="test")
    failed = shop.ctl(*words, "--set", 'db.hooks.on_branch=["sh", "-c", "echo no table; exit 3"]')
    assert (failed.code, failed.error["code"]) == (4, "instance.not_ready")
    assert "no table" in failed.error["why"]
    assert shop.datasets() == before
    done = shop.ctl(*words, "--set", "web.env.DEBUG=1")
    assert done.json["result"]["routes"] == [PR]
    assert [said for said in done.json["warnings"] if "shop.example.org" in said]
    assert [said for said in done.json["warnings"] if "5003" in said]
    assert {by for _, by in shop.rows("pr-42")} == {"nobody"}
    assert [id for id, _ in shop.rows("pr-42")] == [id for id, _ in rows]
    assert shop.rows() == rows
    asked = 'echo "$DEBUG" $(cat /run/secrets/GIVEN) $(cat /run/secrets/OWN)'
    assert shop.plain("exec", "pr-42/web", "--", "sh", "-c", asked).out == "1 live test\n"
    shop.done("namespace", "rm", "pr-42", "--purge", "--yes")
    empty = shop.done(*words, "--service", "db=fresh", "--set", "web.secrets=[]", "--set", "web.branch_secrets=[]")
    assert (empty["routes"], shop.rows("pr-42")) == ([PR], [])


def test_what_cannot_be_branched_is_refused(shop_alone: Cluster) -> None:
    shop = shop_alone
    for words, code in (
        (("shop", "shop"), "branch.itself"),
        (("shpo", "pr-42"), "namespace.missing"),
        (("shop", "pr-42", "--volume", "dta=fresh"), "branch.unknown"),
        (("shop", "pr-42", "--service", "wbe=fresh"), "branch.unknown"),
        (("shop", "pr-42", "--set", "wbe.replicas=2"), "set.service"),
        (("shop", "pr-42", "--set", "web.replicsa=2"), "manifest.unknown_key"),
        (("shop", "pr-42", "--set", "web.image=ployz-demo/nothing:1"), "image.missing"),
    ):
        ran = shop.ctl("branch", "apply", *words)
        assert (ran.code, ran.error["code"]) == (3, code), ran.out
    shop.done("branch", "apply", "shop", "pr-42")
    ran = shop.ctl("branch", "apply", "shop", "pr-42")
    assert (ran.code, ran.error["code"]) == (3, "namespace.exists")


def test_a_volume_is_forked_and_an_old_state_of_one_restored(shop: Cluster) -> None:
    before = shop.datasets()
    shop.done("volume", "snapshot", "shop/data", "then")
    there = dict(shop.rows())
    shop.write_row()
    shop.done("fork-volume", "shop/data", "forked/data")
    shop.done("volume", "restore", "shop/data@then", "restored/data")
    text = (DEMO / "shop-1.toml").read_text()
    rows = {}
    for namespace in ("forked", "restored"):
        shop.deployed(text.replace('namespace = "shop"', f'namespace = "{namespace}"'))
        rows[namespace] = dict(shop.rows(namespace))
    assert rows == {"forked": dict(shop.rows()), "restored": there}
    taken = shop.ctl("fork-volume", "shop/data", "forked/data")
    assert (taken.code, taken.error["code"]) == (3, "volume.exists")
    for namespace in ("forked", "restored"):
        shop.done("namespace", "rm", namespace, "--purge", "--yes")
    shop.done("volume", "purge", "shop/data@then", "--yes")
    assert shop.datasets() == before
