"""Rolling back: code and data as they were, undone exactly, and nothing else touched."""

import pytest

from tests.machine.clients import writing
from tests.machine.cluster import Cluster
from tests.machine.manifests import LITE, lite
from tests.machine.world import assert_untouched, world


def test_data_comes_back_as_it_was_and_undoing_that_brings_back_the_other(shop: Cluster) -> None:
    with writing(shop.url, "shop.localhost") as writer:
        first = shop.done("deploy", "-f", "shop-2.toml")
    new, new_dump = shop.rows(), shop.dump()
    assert writer.failures == []

    back = shop.done("rollback", "shop")
    old = shop.rows()
    assert (shop.get("/version"), back["previous"]) == ("1", first["deploy"])
    assert set(old) < set(new), "what was written after the second version came is gone, and nothing else"
    undone = shop.done("rollback", "shop")
    assert (shop.get("/version"), shop.dump()) == ("2", new_dump)
    assert undone["deploy"] == back["deploy"] + 1

    older = shop.done("rollback", "shop", "--to", str(back["deploy"]))
    assert (shop.get("/version"), shop.rows()) == ("1", old)
    assert [v["action"] for v in older["volumes"]] == ["replace"]


def test_code_alone_goes_back_and_rows_are_written_all_the_while(shop: Cluster) -> None:
    shop.done("deploy", "-f", "shop-2.toml")
    with writing(shop.url, "shop.localhost") as writer:
        back = shop.done("rollback", "shop", "--code-only")
    assert shop.get("/version") == "1"
    assert [(s["name"], s["action"]) for s in back["services"]] == [("db", "unchanged"), ("web", "replace")]
    assert [v["action"] for v in back["volumes"]] == ["unchanged"]
    assert writer.failures == []
    assert writer.acknowledged.items() <= dict(shop.rows()).items()


def test_a_preview_shows_the_steps_and_changes_nothing(shop: Cluster) -> None:
    shop.done("deploy", "-f", "shop-2.toml")
    before, operations = world(shop), shop.done("op", "ls", "--all")
    for words in (
        ["rollback", "shop", "--preview"],
        ["rollback", "preview", "shop"],
        ["deploy", "-f", "shop-3.toml", "--preview"],
        ["deploy", "preview", "-f", "shop-3.toml"],
    ):
        shown = shop.done(*words)
        says = [step["says"] for step in shown["steps"]]
        assert says[shown["commit"]].startswith("commit deploy ")
        assert any(said.startswith("stop shop-db-1-") for said in says[: shown["commit"]])
        assert {name for step in shown["steps"] for name in step.get("down", [])} == {"db"}
    text = shop.plain("rollback", "shop", "--preview").out
    assert "rollback would take " in text
    assert "whatever fails before this line is taken back" in text
    assert_untouched(shop, before)
    assert shop.done("op", "ls", "--all") == operations


def test_a_namespace_that_has_moved_on_is_not_changed(light: Cluster) -> None:
    at = light.deployed(lite(2))["deploy"]
    before = world(light)
    for words in (["rollback", "lite"], ["rollback", "lite", "--preview"], ["deploy", "-f", "-"]):
        ran = light.ctl(*words, "--expect", str(at - 1), given=lite())
        assert (ran.code, ran.error["code"]) == (3, "namespace.changed")
        assert ran.error["why"] == f"deploy {at - 1} was expected, and it is at deploy {at}"
        assert ran.error["try"] == "ployzctl history lite"
    assert_untouched(light, before)
    light.done("rollback", "lite", "--expect", str(at))
    assert light.get("/version", host=LITE) == "1"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nowhere"], "namespace.missing", "there is no namespace nowhere"),
        (["--", "-lite"], "namespace.missing", "there is no namespace -lite"),
        (["a b"], "namespace.missing", "there is no namespace a b"),
        (["lite", "--to", "999"], "deploy.missing", "there is no deploy 999 of it"),
    ],
    ids=["namespace", "dash", "space", "deploy"],
)
def test_what_is_not_there_is_refused(light: Cluster, words: list[str], code: str, says: str) -> None:
    before = world(light)
    ran = light.ctl("rollback", *words)
    assert (ran.code, ran.error["code"], ran.error["state"]) == (3, code, "refused"), ran.out
    assert says in ran.error["why"]
    assert ran.error["try"]
    assert_untouched(light, before)


def test_what_runs_now_is_no_way_back(light: Cluster) -> None:
    at = light.deployed(lite(2))["deploy"]
    ran = light.ctl("rollback", "lite", "--to", str(at))
    assert (ran.code, ran.error["code"]) == (3, "deploy.current")
