"""Deploying: what fails leaves everything as it was, what did not change is not touched, and nobody notices a flip."""

import json

import pytest

from tests.machine.clients import Written, watching, writing
from tests.machine.cluster import Cluster, Ran
from tests.machine.manifests import LITE, demo, lite, service
from tests.machine.world import assert_untouched, world

CRASH = '["python3", "-c", "import sys; print(\'no coffee left\'); sys.exit(3)"]'
DEAF = '["python3", "-uc", "import time; print(\'I hear nothing\'); time.sleep(99)"]'


def assert_taken_back(ran: Ran) -> None:
    assert (ran.code, ran.error["state"]) == (4, "taken_back"), ran.out


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lite(2, command=CRASH), ["ended with code 3", "no coffee left"]),
        (lite(2, command=CRASH, restart='"no"'), ["ended with code 3", "no coffee left"]),
        (
            lite(2, command=DEAF, ready='{ http = "/ready", port = "web", every = "0.1s", timeout = "1s" }'),
            ["was not ready within 1 seconds", "I hear nothing"],
        ),
        (
            lite(2, ready='{ exec = ["false"], every = "0.1s", timeout = "1s" }'),
            ["was not ready within 1 seconds", "false exited with 1", "web 2 listens"],
        ),
        (lite(2, hooks='{ before = ["sh", "-c", "echo no beans; exit 5"] }'), ["exited with 5", "no beans"]),
        (lite(2, command='["/no/such/program"]'), ["/no/such/program"]),
    ],
    ids=["crash", "crash for good", "no answer", "not ready", "hook", "no program"],
)
def test_what_does_not_start_is_taken_back_and_its_log_is_in_the_error(
    light: Cluster, broken: str, says: list[str]
) -> None:
    before = world(light)
    with watching(light.url, LITE) as watcher:
        ran = light.deploy(broken)
    assert_taken_back(ran)
    for words in says:
        assert words in ran.error["why"]
    assert_untouched(light, before)
    assert (watcher.failures, watcher.seen[0]) == ([], ["1"])


def test_a_person_reads_why_and_that_all_is_as_before(light: Cluster) -> None:
    ran = light.plain("deploy", "-f", "-", given=lite(2, command=CRASH))
    assert (ran.code, ran.out) == (4, "")
    assert "no coffee left" in ran.err
    assert "Taken back: everything is as it was before." in ran.err
    assert "try: ployzctl op show op-" in ran.err


def test_a_hook_that_alters_the_schema_and_fails_is_taken_back_while_rows_are_written(shop: Cluster) -> None:
    before = world(shop)
    with writing(shop.url, "shop.localhost", count=2) as writer:
        broken = shop.ctl("deploy", "-f", "shop-3.toml")
        written = len(writer.acknowledged)
    assert_taken_back(broken)
    assert "the column price is there, its values are not" in broken.error["why"]
    assert_untouched(shop, before)
    assert written > 0
    assert_every_row_is_there(shop, writer)
    assert "price" not in shop.dump()


def test_a_hook_that_fails_leaves_the_same_database_to_the_byte(shop: Cluster) -> None:
    before, dump = world(shop), shop.dump()
    assert_taken_back(shop.ctl("deploy", "-f", "shop-3.toml"))
    assert shop.dump() == dump
    assert_untouched(shop, before)


def test_rows_that_were_acknowledged_survive_a_new_database_and_each_is_there_once(shop: Cluster) -> None:
    with writing(shop.url, "shop.localhost", count=2) as writer:
        result = shop.deployed(demo(1, shm='"65MiB"'))
    assert [(s["name"], s["action"]) for s in result["services"]] == [("db", "replace"), ("web", "unchanged")]
    assert [(v["name"], v["action"]) for v in result["volumes"]] == [("data", "replace")]
    assert 0 < result["downtime_s"]["db"] < 30
    assert_every_row_is_there(shop, writer)


def assert_every_row_is_there(cluster: Cluster, writer: Written) -> None:
    rows = cluster.rows()
    there = dict(rows)
    lost = {id: by for id, by in writer.acknowledged.items() if there.get(id) != by}
    assert not lost
    words = [by for _, by in rows if by in set(writer.acknowledged.values())]
    assert len(words) == len(writer.acknowledged), "a row is there twice"


def test_deploying_the_same_again_touches_nothing(shop: Cluster) -> None:
    before, history = world(shop), shop.done("history", "shop")
    result = shop.done("deploy", "-f", "shop-1.toml")
    assert {s["action"] for s in result["services"]} == {"unchanged"}
    assert {v["action"] for v in result["volumes"]} == {"unchanged"}
    assert result["downtime_s"] == {}
    assert_untouched(shop, before)
    assert shop.done("history", "shop") == history
    assert shop.done("deploy", "-f", "shop-1.toml", "--preview")["steps"] == []


def test_a_tag_that_moved_is_a_change(light: Cluster) -> None:
    light.docker("tag", "ployz-demo/web:1", "moving:now")
    light.deployed(lite(image='"moving:now"'))
    same = light.deployed(lite(image='"moving:now"'))
    assert same["services"][0]["action"] == "unchanged"
    light.docker("tag", "ployz-demo/web:2", "moving:now")
    moved = light.deployed(lite(image='"moving:now"'))
    assert moved["services"][0]["action"] == "replace"
    assert light.get("/version", host=LITE) == "2"


def test_scaling_keeps_the_instances_that_are_there(light: Cluster) -> None:
    [first] = ids(light.done("ps", "lite"))
    three = ids(light.deployed(lite(replicas="3")) and light.done("ps", "lite"))
    assert len(three) == 3
    assert first in three
    ran = light.deploy(lite(2, replicas="3", command=CRASH))
    assert_taken_back(ran)
    assert ids(light.done("ps", "lite")) == three
    [left] = ids(light.deployed(lite()) and light.done("ps", "lite"))
    assert left == first
    assert light.get("/version", host=LITE) == "1"


def ids(instances: dict[str, list[dict[str, str]]]) -> list[str]:
    return [instance["id"] for instance in instances["instances"]]


def test_a_service_that_the_manifest_no_longer_names_is_removed(light: Cluster) -> None:
    before = world(light)
    result = light.deployed(lite() + service("more", 2))
    assert [(s["name"], s["action"]) for s in result["services"]] == [("more", "create"), ("web", "unchanged")]
    result = light.deployed(lite())
    assert [(s["name"], s["action"]) for s in result["services"]] == [("more", "remove"), ("web", "unchanged")]
    after = world(light)
    for what in ("containers", "datasets", "rules", "views", "names", "reserved"):
        assert after[what] == before[what]


def test_a_namespace_without_services_is_empty_and_stays_so(light: Cluster) -> None:
    result = light.deployed(json.dumps({"namespace": "lite"}))
    assert [(s["name"], s["action"]) for s in result["services"]] == [("web", "remove")]
    assert light.done("ps", "lite") == {"instances": []}
    assert light.status_of("/version", host=LITE) == 404
    assert not [name for name in light.containers() if "lite-" in name]


def test_a_blue_green_flip_loses_no_request(light: Cluster) -> None:
    with watching(light.url, LITE, count=3) as watcher:
        for version in (2, 1, 2):
            light.deployed(lite(version))
    assert watcher.failures == []
    assert watcher.requests > 100
    for seen in watcher.seen.values():
        assert seen == ["1", "2", "1", "2"], "a request was answered before the commit, or by the old one after it"
