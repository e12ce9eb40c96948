"""Looking: one document for programs, what somebody needs for people, and nothing is changed by it."""

import json
import signal
import tomllib
from datetime import UTC, datetime

import pytest

from tests.machine.clients import watching
from tests.machine.cluster import Cluster, wait_until
from tests.machine.manifests import LITE, lite
from tests.machine.world import assert_untouched, world

LOOKS = [
    (["status"], "status"),
    (["ps"], "instances"),
    (["ps", "lite"], "instances"),
    (["logs", "lite/web"], "logs"),
    (["exec", "lite/web", "--", "true"], "executed"),
    (["history", "lite"], "deploys"),
    (["export", "lite"], "manifest"),
    (["op", "ls"], "operations"),
    (["op", "ls", "--all"], "operations"),
    (["version"], "version"),
    (["deploy", "-f", "shop-2.toml", "--preview"], "preview"),
    (["dev", "ls"], "clusters"),
]


@pytest.mark.parametrize(("words", "kind"), LOOKS, ids=[" ".join(words) for words, _ in LOOKS])
def test_a_look_is_one_document_and_changes_nothing(light: Cluster, words: list[str], kind: str) -> None:
    before = world(light)
    ran = light.ctl(*words)
    assert (ran.code, ran.err) == (0, "")
    [line] = ran.out.splitlines()
    told = json.loads(line)
    assert set(told) == {"ok", "kind", "operation", "result", "warnings"}
    assert (told["ok"], told["kind"]) == (True, kind)
    assert_untouched(light, before)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ps", "nowhere"], "namespace.missing"),
        (["logs", "lite/wev"], "service.missing"),
        (["logs", "lite/web", "--since", "never"], "logs.since"),
        (["exec", "nowhere/web", "--", "true"], "namespace.missing"),
        (["history", "nowhere"], "namespace.missing"),
        (["history", "show", "lite", "999"], "deploy.missing"),
        (["export", "nowhere"], "namespace.missing"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_one_document_too(light: Cluster, words: list[str], code: str) -> None:
    ran = light.ctl(*words)
    [line] = ran.out.splitlines()
    told = json.loads(line)
    assert set(told) == {"ok", "operation", "error"}
    assert set(told["error"]) == {"code", "state", "what", "why", "try"}
    assert (ran.code, told["error"]["code"], ran.err) == (3, code, "")


def test_events_come_before_the_one_document(light: Cluster) -> None:
    *events, document = map(json.loads, light.plain("--events", "deploy", "-f", "-", given=lite(2)).out.splitlines())
    assert document["kind"] == "deployed"
    assert {event["operation"] for event in events} == {document["operation"]}
    assert [events[0]["kind"], events[-1]["kind"]] == ["planned", "finished"]
    at = [datetime.fromisoformat(event["at"]) for event in events]
    assert at == sorted(at)


def test_status_is_the_cluster_in_one_screen(shop: Cluster) -> None:
    told = shop.done("status")
    [machine], [pool] = told["machines"], told["pools"]
    assert (machine["name"], machine["reachable"], machine["store"]) == ("m1", True, True)
    assert 0 < pool["used"] < pool["size"]
    assert told["store"]["reachable"]
    assert (told["operations"], told["stale_since"]) == ([], None)
    [seen] = [namespace for namespace in told["namespaces"] if namespace["name"] == "shop"]
    assert [(s["name"], s["ready"], s["wanted"]) for s in seen["services"]] == [("db", 1, 1), ("web", 1, 1)]
    assert seen["routes"] == ["shop.localhost"]
    text = shop.plain("status").out
    for words in ("m1", "reachable", "shop  deploy", "db", "● 1/1", "shop.localhost", " %"):
        assert words in text


def test_ps_tells_where_each_instance_is_and_since_when(shop: Cluster) -> None:
    rows = {row["service"]: row for row in shop.done("ps", "shop")["instances"]}
    assert set(rows) == {"db", "web"}
    web = rows["web"]
    assert (web["machine"], web["state"], web["restarts"], web["last_exit"]) == ("m1", "running", 0, None)
    assert web["ip"].startswith("10.210.1.")
    assert (web["image"], web["digest"].partition(":")[0]) == ("ployz-demo/web:1", "sha256")
    assert datetime.fromisoformat(web["since"]) < datetime.now(UTC)
    line = next(line for line in shop.plain("ps").out.splitlines() if line.startswith("shop/web"))
    for words in (web["id"], "m1", web["ip"], "running", "ployz-demo/web:1"):
        assert words in line
    assert "ago" in line or "just now" in line


def test_an_instance_that_dies_is_seen_and_so_is_one_that_is_gone(light: Cluster) -> None:
    light.deployed(lite(2, restart='"no"'))
    [row] = light.done("ps", "lite")["instances"]
    light.docker("kill", row["id"])
    [dead] = light.done("ps", "lite")["instances"]
    assert (dead["state"], dead["last_exit"]) == ("stopped", 137)
    assert "1 service not ready" in light.plain("status").out
    light.docker("rm", row["id"])
    status = light.ctl("status").json
    assert f"instance {row['id']} of lite/web is missing: the engine does not know it" in status["warnings"]
    again = light.deployed(lite(2, restart='"no"'))
    assert again["services"][0]["action"] == "replace"
    assert light.get("/version", host=LITE) == "2"


def test_logs_are_shown_limited_and_followed(light: Cluster) -> None:
    assert light.status_of("/nothing-1", host=LITE) == 404
    lines = light.done("logs", "lite/web")["lines"]
    assert any("web 1 listens on port 8080" in line["text"] for line in lines)
    wait_until(lambda: "nothing-1" in light.done("logs", "lite/web", "--tail", "1")["lines"][0]["text"], "it is logged")
    assert len(light.done("logs", "lite/web", "--tail", "1")["lines"]) == 1
    assert light.done("logs", "lite/web", "--tail", "0")["lines"] == []
    assert "nothing-1" in light.plain("logs", "lite/web", "--since", "5m").out

    # Somebody asks on and on, so that there is something to follow whenever the following begins.
    with watching(light.url, LITE), light.begin("logs", "lite/web", "-f", "--tail", "0") as following:
        assert following.stdout
        assert following.stdout.readline().startswith(b"lite-web-1-")
        assert b"GET /version" in following.stdout.readline()
        following.send_signal(signal.SIGINT)
        following.communicate(timeout=20)
        assert following.returncode == 0


def test_exec_passes_on_what_goes_in_and_comes_out_and_its_code(light: Cluster) -> None:
    ran = light.plain("exec", "-i", "lite/web", "--", "sh", "-c", "cat; echo so >&2; exit 7", given=b"\x00raw\r\n")
    assert (ran.code, ran.out, ran.err) == (7, "\x00raw\r\n", "so\n")
    both = light.ctl("exec", "lite/web", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert both.code == 3
    assert both.json["result"] == {"code": 3, "stdout": "out\n", "stderr": "err\n"}
    assert light.plain("exec", "lite/web", "--", "pwd").out == "/srv\n"


def test_history_tells_every_deploy_and_its_manifest(light: Cluster) -> None:
    first = light.deployed(lite(1))["deploy"]
    second = light.deployed(lite(2))
    newest, before, *_ = light.done("history", "lite")["deploys"]
    assert (newest["number"], newest["current"], before["number"]) == (second["deploy"], True, second["previous"])
    assert newest["who"] == "root"
    assert newest["images"]["web"].startswith("ployz-demo/web:2@sha256:")
    shown = light.done("history", "show", "lite", str(first))
    again = f'data = "deploy {first}"\n{lite(1)}'
    assert (shown["deploy"]["number"], shown["manifest"]) == (first, again)
    assert light.plain("history", "show", "lite", str(first), "--manifest").out == again
    text = light.plain("history", "lite").out
    for words in (str(first), str(second["deploy"]), "root", newest["operation"], "ployz-demo/web:2"):
        assert words in text


def test_the_data_of_a_deploy_is_named_in_the_history(shop: Cluster) -> None:
    shop.done("deploy", "-f", "shop-2.toml")
    current, before, *_ = shop.done("history", "shop")["deploys"]
    assert (current["snapshots"], list(before["snapshots"])) == ({}, ["data"])
    assert any(name.endswith(f"@{before['snapshots']['data']}") for name in shop.datasets())


def test_what_is_exported_deploys_what_runs(light: Cluster) -> None:
    light.deployed(lite(2, replicas="2"))
    before = world(light)
    text = light.plain("export", "lite").out
    assert tomllib.loads(text)["services"]["web"]["replicas"] == 2
    again = light.deployed(text)
    assert [service["action"] for service in again["services"]] == ["unchanged"]
    assert_untouched(light, before)


def test_version_tells_both_sides(light: Cluster) -> None:
    told = light.done("version")
    assert told["daemon"]["protocol"] == told["contract"] == 1
    assert told["daemon"]["zfs"] in ("zfs-fuse", "openzfs")
    text = light.plain("version").out
    assert told["daemon"]["version"] in text
    assert "{" not in text, "that is for people"
