"""Branching a database that is written to: what was acknowledged before is there, and nothing is shared afterwards."""

from collections.abc import Iterator

import pytest

from tests.machine.clients import Written, writing
from tests.machine.cluster import DEMO, Cluster, wait_until

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
    paused = shop.docker("ps", "--filter", "status=paused", "--format", "{{.Names}}")
    assert paused == ""


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
