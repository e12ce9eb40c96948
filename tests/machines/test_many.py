"""Three machines as one: whichever is asked tells of all, reaches all, and sends nobody to what is not there."""

import json
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from daemon.addressing import DEFAULT, door
from daemon.dev.partings import CHAIN, TABLE
from daemon.meshing import INNER
from daemon.tunnel import DOOR
from tests.machine.cluster import Cluster, wait_until
from tests.machine.manifests import LITE, service
from tests.machines.members import HEALED

NAMES = ("m1", "m2", "m3")
SLEEP = '["sh", "-c", "echo here is $(hostname); exec sleep 100000"]'
MANIFEST = "\n".join(
    (
        'namespace = "lite"',
        service("web", replicas="3", routes=f'["{LITE}"]'),
        service("each", replicas='"global"', command=SLEEP, ports="", ready=""),
        service(
            "keeper",
            command=SLEEP,
            ports="",
            ready="",
            place='{ machine = "m2" }',
            volumes='{ data = "/data" }',
            secrets='["WORD"]',
        ),
        "[volumes.data]",
    )
)


@pytest.fixture(scope="module")
def lite(many: Cluster) -> Iterator[Cluster]:
    """A service that is on all machines, one that is on each, and one with a volume, on m2, that sees a secret."""
    many.done("secret", "set", "lite/WORD", given="open sesame")
    many.done("deploy", "-f", "-", given=MANIFEST, within=300.0)  # m2 and m3 may have to get the image first
    yield many
    many.done("namespace", "rm", "lite", "--purge", "--yes")


def instances(seen: Cluster, name: str) -> dict[str, Any]:
    """Those of a service, by machine."""
    rows = [row for row in seen.done("ps", "lite")["instances"] if row["service"] == name]
    return {row["machine"]: row for row in rows}


def reachable(seen: Cluster) -> list[str]:
    """The machines that answer, as `status` and `machine ls` both say."""
    told = [name["name"] for name in seen.done("status")["machines"] if name["reachable"]]
    assert told == [row["name"] for row in seen.done("machine", "ls")["machines"] if row["reachable"]]
    return told


@pytest.mark.parametrize("at", NAMES)
def test_each_machine_tells_of_all(lite: Cluster, at: str) -> None:
    seen = lite.on(at)
    for name in ("web", "each"):
        found = instances(seen, name)
        assert {machine: row["state"] for machine, row in found.items()} == dict.fromkeys(NAMES, "running")
    status = seen.ctl("status").json
    assert status["warnings"] == []
    assert status["result"]["store"]["answering"] == status["result"]["store"]["machines"] == list(NAMES)
    assert [pool["machine"] for pool in status["result"]["pools"]] == list(NAMES)
    assert {one["name"]: one["ready"] for one in status["result"]["namespaces"][0]["services"]} == {
        "each": 3,
        "keeper": 1,
        "web": 3,
    }
    assert reachable(seen) == list(NAMES)
    [volume] = seen.done("volume", "ls", "lite")["volumes"]
    assert (volume["machine"], volume["mounted"], volume["bytes"] > 0) == ("m2", True, True)


@pytest.mark.parametrize("at", NAMES)
def test_each_machine_tells_how_far_all_are_from_each_other(lite: Cluster, at: str) -> None:
    pairs = lite.on(at).done("machine", "rtt")["pairs"]
    assert [(pair["from"], pair["to"]) for pair in pairs] == [
        (one, other) for one in NAMES for other in NAMES if other != one
    ]
    for pair in pairs:
        assert 0 < pair["median_ms"] < 1000
        assert pair["stddev_ms"] >= 0


@pytest.mark.parametrize("at", NAMES)
def test_each_machine_looks_into_another_one(lite: Cluster, at: str) -> None:
    asked = lite.on(at).ctl("machine", "inspect", "m2").json
    found, engine = asked["result"], json.loads(lite.on("m2").docker("info", "--format", "{{json .}}"))
    assert asked["warnings"] == []
    assert (found["name"], found["reachable"], found["stale_since"], found["heard_at"]) == ("m2", True, None, None)
    assert found["capacity"]["processors"] == os.cpu_count()
    assert 0 < found["capacity"]["free"] < found["capacity"]["memory"] == engine["MemTotal"]
    assert found["runtime"]["version"] == engine["ServerVersion"]
    assert 0 < found["pool"]["used"] < found["pool"]["size"]
    assert found["pool"]["root"] in lite.on("m2").datasets()
    assert {(one["service"], one["state"]) for one in found["instances"]} == {
        (name, "running") for name in ("web", "each", "keeper")
    }
    assert [(one["name"], one["machine"], one["mounted"]) for one in found["volumes"]] == [("data", "m2", True)]
    assert "m2" in lite.on(at).plain("machine", "inspect", "m2").out


@pytest.mark.parametrize("at", NAMES)
def test_each_machine_reads_all_logs_and_runs_commands_anywhere(lite: Cluster, at: str) -> None:
    seen = lite.on(at)
    logged = seen.plain("logs", "lite/each").out.splitlines()
    assert {line.split()[0] for line in logged} == {row["id"] for row in instances(seen, "each").values()}
    assert all("here is" in line for line in logged)
    assert (
        seen.plain("exec", "lite/keeper", "--", "sh", "-c", "touch /data/x; echo out; echo err >&2; exit 7").code == 7
    )
    sent = os.urandom(300_000).hex()
    assert seen.plain("exec", "lite/keeper", "-i", "--", "cat", given=sent).out == sent


@pytest.mark.parametrize("at", NAMES)
def test_what_is_sealed_at_one_machine_is_seen_on_another_and_set_anew_at_each(lite: Cluster, at: str) -> None:
    read = ("exec", "lite/keeper", "--", "cat", "/run/secrets/WORD")
    seen = lite.on(at)
    assert seen.plain(*read).out == "open sesame"
    [check] = [check for check in seen.ctl("doctor").json["result"]["checks"] if check["name"] == "secrets"]
    assert check["state"] == "ok", check
    assert seen.done("secret", "rotate")["secrets"] == [], "it is sealed for all already"


def test_operations_of_a_machine_are_listed_and_shown_by_each(lite: Cluster) -> None:
    done = lite.on("m2").ctl("volume", "snapshot", "lite/data", "told").json
    lite.on("m2").done("volume", "purge", "lite/data@told", "--yes")
    assert done["result"]["machine"] == "m2"
    for name in NAMES:
        seen = lite.on(name)
        [row] = [row for row in seen.done("op", "ls", "--all")["operations"] if row["id"] == done["operation"]]
        assert (row["machine"], row["state"]) == ("m2", "done")
        shown = seen.done("op", "show", row["id"])
        assert [event["kind"] for event in shown["events"]][-1] == "finished"
        assert shown["operation"] == row | {"says": shown["operation"]["says"]}


def test_a_volume_is_changed_where_it_is_whoever_is_asked(lite: Cluster) -> None:
    assert lite.done("volume", "snapshot", "lite/data", "before")["machine"] == "m2"
    names = [row["name"] for row in lite.on("m3").done("volume", "snapshots", "lite/data")["snapshots"]]
    assert "before" in names
    assert lite.on("m3").done("volume", "resize", "lite/data", "1GiB")["quota"] == 1 << 30
    assert lite.done("fork-volume", "lite/data", "lab/copy")["machine"] == "m2"
    assert lite.on("m3").done("volume", "restore", "lite/data@before", "lab/old")["machine"] == "m2"
    there = lite.on("m2").datasets()
    for name, form in (("data.zst", ()), ("tar.zst", ("--tar",))):
        file = lite.root / name
        assert lite.done("volume", "export", "lite/data", "-o", str(file), *form)["machine"] == "m2"
        assert lite.on("m3").done("volume", "import", str(file), f"lab/{name[:3]}")["machine"] == "m3"
    assert lite.on("m2").datasets() == there, "nothing is left of what was made to be sent"
    assert lite.ctl("volume", "purge", "lite/data@before", "--yes").error["code"] == "purge.needed"
    lite.done("namespace", "rm", "lab", "--purge", "--yes")
    assert lite.done("volume", "purge", "lite/data@before", "--yes")["machine"] == "m2"
    assert not [name for name in lite.on("m2").datasets() if "/lab/" in name]


def test_a_command_ends_with_whoever_asked_for_it_on_another_machine(lite: Cluster) -> None:
    def runs() -> bool:
        return "sleep 54321" in lite.on("m2").docker("top", instances(lite, "keeper")["m2"]["id"])

    asked = lite.begin("exec", "lite/keeper", "--", "sleep", "54321")
    wait_until(runs, "the command runs")
    asked.kill()
    wait_until(lambda: not runs(), "it has ended")
    asked.communicate()


def test_instances_reach_each_other_over_the_mesh_by_address_and_by_name(lite: Cluster) -> None:
    there = [row["ip"] for row in instances(lite, "web").values()]
    asked = [f"{place}:8080" for place in (*there, "web", "web.lite.ployz.internal")]
    code = (
        "import urllib.request\n"
        f"for at in {asked}: print(urllib.request.urlopen(f'http://{{at}}/version', timeout=5).status)\n"
    )
    for name in NAMES:
        container = instances(lite, "web")[name]["id"]
        assert lite.on(name).docker("exec", container, "python3", "-c", code).split() == ["200"] * len(asked)


def test_no_instance_gets_at_the_ports_of_machines(lite: Cluster) -> None:
    """Neither over the mesh nor where machines are reached beside it, which another one may just refuse."""
    places = [(f"10.210.{at}.1", port) for at in (1, 2) for port in INNER] + [(door(DEFAULT), DOOR)]
    beside = [(f"192.168.77.{at}", port) for at in (1, 2) for port in INNER]
    code = (
        "import socket\n"
        f"for place in {[*places, *beside]}:\n"
        "    try: socket.create_connection(place, 0.2); print('open', place)\n"
        "    except TimeoutError: print('dropped')\n"
        "    except ConnectionRefusedError: print('refused')\n"
    )
    container = instances(lite, "web")["m1"]["id"]
    told = lite.docker("exec", container, "python3", "-c", code).splitlines()
    assert told[: len(places)] == ["dropped"] * len(places)
    assert {*told} <= {"dropped", "refused"}


def test_what_fits_on_no_machine_is_refused_with_the_reason_of_each_until_one_has_the_label(lite: Cluster) -> None:
    refused = lite.deploy('namespace = "nowhere"\n' + service("web", place='{ labels = { zone = "a" } }'))
    assert (refused.code, refused.error["code"]) == (3, "place.none")
    assert all(f"{name}: its label zone is not set" in refused.error["why"] for name in NAMES)
    refused = lite.deploy('namespace = "nowhere"\n' + service("web", place='{ machine = "m9" }'))
    assert (refused.code, refused.error["code"]) == (3, "machine.missing")
    assert refused.error["what"] == "cannot place nowhere/web on m9"
    assert refused.error["why"] == "there is no machine of that name; there is m1, m2, m3"
    assert lite.done("machine", "label", "m3", "zone=a")["labels"] == {"zone": "a"}
    placed = lite.deployed(
        'namespace = "somewhere"\n[services.one]\nruntime = "host"\ncommand = ["sleep", "100"]\n'
        'place = { labels = { zone = "a" } }\n'
    )
    assert [one["machine"] for one in placed["services"][0]["instances"]] == ["m3"]
    lite.done("namespace", "rm", "somewhere", "--purge", "--yes")


def test_nobody_is_led_to_an_instance_that_died_elsewhere_until_it_is_back(lite: Cluster) -> None:
    dead = instances(lite, "web")["m3"]
    assert dead["ip"] in lite.rules()
    lite.on("m3").docker("kill", dead["id"])
    wait_until(lambda: dead["ip"] not in lite.rules() + lite.on("m2").rules(), "nobody is led there")
    assert {lite.status_of("/version", host=LITE) for _ in range(20)} == {200}
    assert instances(lite.on("m2"), "web")["m3"]["state"] == "stopped"
    lite.on("m3").docker("start", dead["id"])
    wait_until(lambda: dead["ip"] in lite.rules() and dead["ip"] in lite.on("m2").rules(), "it is back")


def test_a_machine_that_is_gone_is_known_to_be_and_led_to_no_more_until_it_is_back(lite: Cluster) -> None:
    gone = instances(lite, "web")["m3"]
    lite.done("dev", "kill", "m3", "--name", "many")
    asked = lite.ctl("ps", "lite")  # before anybody has missed it
    assert {row["state"] for row in asked.json["result"]["instances"] if row["machine"] == "m3"} == {"unknown"}
    wait_until(lambda: gone["ip"] not in lite.rules(), "nobody is led there")
    assert {lite.status_of("/version", host=LITE) for _ in range(20)} == {200}
    assert reachable(lite) == reachable(lite.on("m2")) == ["m1", "m2"]
    warnings = lite.ctl("status").json["warnings"]
    assert [said[:50] for said in warnings] == ["m3 does not answer: its daemon was not heard since"]
    assert lite.ctl("machine", "ls").json["warnings"] == warnings
    away = lite.ctl("machine", "inspect", "m3").json
    found = away["result"]
    assert (away["warnings"], found["reachable"], found["capacity"]) == (warnings, False, None)
    assert found["heard_at"] in warnings[0]
    assert {one["state"] for one in found["instances"]} == {"unknown"}
    assert {pair["from"] for pair in lite.on("m2").done("machine", "rtt")["pairs"]} == {"m1", "m2"}
    logs = lite.ctl("logs", "lite/each").json
    assert (logs["ok"], len(logs["result"]["instances"]), len(logs["warnings"])) == (True, 2, 2)
    lite.up()
    wait_until(lambda: gone["ip"] in lite.rules(), "it is back")
    assert reachable(lite) == list(NAMES)
    assert instances(lite.on("m2"), "web")["m3"]["state"] == "running"


def test_where_only_the_daemon_is_dead_its_instances_are_led_to(lite: Cluster) -> None:
    serves = instances(lite, "web")["m3"]
    lite.on("m3").kill_daemon()
    wait_until(lambda: reachable(lite) == ["m1", "m2"], "its daemon is missed")
    wait_until(lambda: "what runs there may go on" in lite.ctl("status").json["warnings"][0], "it is called silent")
    assert serves["ip"] in lite.rules()
    lite.up()
    assert reachable(lite) == list(NAMES)


@pytest.mark.parametrize("way", [(), ("--one-way",)])
def test_links_that_lose_a_share_of_packets_cost_time_and_nothing_else(lite: Cluster, way: tuple[str, ...]) -> None:
    """Of all that goes between m3 and the others, or of what only m3 sends: requests, commands, data and records."""
    there, sent = lite.on("m3"), os.urandom(30_000).hex()
    secrets = {name: f"SENT_BY_{name.upper()}_{len(way)}" for name in NAMES}
    keeper = instances(lite, "keeper")["m2"]["id"]
    lite.on("m2").docker("exec", "-u", "0", keeper, "sh", "-c", "head -c 60000 /dev/urandom > /data/sent; sync")
    lite.done("dev", "part", "m3", "--loss", "10", *way, "--name", "many")
    try:
        for asked in (lite, there):
            assert {asked.status_of("/version", host=LITE) for _ in range(20)} == {200}
        assert there.plain("exec", "lite/keeper", "-i", "--", "cat", given=sent).out == sent
        assert there.done("volume", "send", "lite/data", "--to", "m3")["bytes"] > 60_000
        for name, secret in secrets.items():
            lite.on(name).done("secret", "set", f"lite/{secret}", given="x")
        assert dropped(lite) > 20
    finally:
        lite.done("dev", "heal", "--name", "many")
    for name in NAMES:
        assert {*secrets.values()} <= {row["name"] for row in lite.on(name).done("secret", "ls", "lite")["secrets"]}
    assert reachable(there) == reachable(lite) == list(NAMES)
    lite.settled()


def dropped(many: Cluster) -> int:
    """How many packets were lost on the network between the machines, by what it goes by now."""
    told = json.loads(many.on("underlay").inside("nft", "-j", "list", "chain", *TABLE, CHAIN))["nftables"]
    parts = [part for line in told if "rule" in line for part in line["rule"]["expr"]]
    return sum(part["counter"]["packets"] for part in parts if "counter" in part)


@pytest.fixture
def cut_off(many: Cluster) -> Iterator[Cluster]:
    """The namespace `away` on m1 and m2 alone, and m3, which serves it too, cut off: its daemon and its gateway run."""
    for name in ("m1", "m2"):
        many.done("machine", "label", name, "runs=away")
    many.deployed(away(1))
    wait_until(lambda: answers(many.on("m3")) == "1", "m3 serves it")
    many.done("dev", "part", "m3", "--name", "many")
    try:
        wait_until(lambda: reachable(many) == ["m1", "m2"], "m3 is out of reach")
        yield many
    finally:
        many.done("dev", "heal", "--name", "many")
        wait_until(lambda: reachable(many) == list(NAMES), "all are in reach", within=HEALED)
        gone = partial(many.ctl, "namespace", "rm", "away", "--purge", "--yes")
        wait_until(lambda: gone().code == 0, "the store takes changes, having elected", within=HEALED)
        for name in ("m1", "m2"):
            many.done("machine", "label", name, "runs=")


def away(version: int, place: str = '{ labels = { runs = "away" } }') -> str:
    return 'namespace = "away"\n' + service("web", version, replicas="2", routes='["away.localhost"]', place=place)


def answers(asked: Cluster) -> str:
    """The version that its gateway answers; why not, where it does not."""
    try:
        return asked.get("/version", host="away.localhost", within=5.0)
    except OSError as failure:
        return str(failure)


def test_one_that_was_away_at_a_deploy_serves_what_was_committed_once_it_is_back(cut_off: Cluster) -> None:
    daemon = cut_off.on("m3").daemon()
    done = cut_off.deploy(away(2)).json
    assert sorted(one["machine"] for one in done["result"]["services"][0]["instances"]) == ["m1", "m2"]
    assert [said for said in done["warnings"] if said.startswith("m3 does not answer, and follows once it does: ")]
    assert answers(cut_off) == answers(cut_off.on("m2")) == "2"
    refused = cut_off.deploy(away(3, '{ machine = "m3" }'))
    assert (refused.code, refused.error["code"]) == (3, "machine.unreachable")
    assert "m3 does not answer" in refused.error["why"]
    assert answers(cut_off.on("m3")) != "2", "it was told nothing"
    cut_off.done("dev", "heal", "--name", "many")
    wait_until(lambda: answers(cut_off.on("m3")) == "2", "m3 serves what was committed", within=HEALED)
    assert cut_off.on("m3").daemon() == daemon, "the one that was away"
