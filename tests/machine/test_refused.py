"""Refused: exit 3 (1 without a daemon), with the place, the reason and what to try, and nothing was changed."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.machine.cluster import Cluster, Ran, wait_until
from tests.machine.manifests import LITE, lite, service
from tests.machine.recorded import recorded
from tests.machine.world import assert_untouched, claimed_or_not, world
from tests.stopping import stopped

TWO_WRITERS = service("a", volumes='{ data = "/data" }') + service("b", volumes='{ data = "/data" }')
VOLUME = "[volumes.data]\n"


def named(name: str) -> str:
    return f'namespace = "{name}"\n' + service("web")


# What is deployed, the code, and what the reason says.
MANIFESTS: dict[str, tuple[str | bytes, str, str]] = {
    "unknown key": (lite(replicsa="2"), "manifest.unknown_key", "services.web.replicsa: is unknown here; the nearest"),
    "wrong type": (lite(replicas='"two"'), "manifest.type", 'services.web.replicas: should be an integer, is "two"'),
    "wrong value": (lite(restart='"always"'), "manifest.value", "services.web.restart: should be "),
    "missing": (lite(image=""), "manifest.missing", "services.web.image: is missing"),
    "unknown image": (lite(image='"nobody/has:this"', pull='"never"'), "image.missing", "no image nobody/has:this"),
    "image that nowhere is": (lite(image='"nobody/has:this"'), "image.missing", "nobody/has:this, here or at its reg"),
    "cycle": (lite(after='["b"]') + service("b", after='["web"]'), "manifest.cycle", "after: goes round in a cycle"),
    "unknown reference": (lite(after='["wed"]'), "manifest.reference", "services.web.after.0: names"),
    "undeclared volume": (lite(volumes='{ data = "/data" }'), "manifest.volume", "services.web.volumes.data: "),
    "two writers": (lite() + TWO_WRITERS + VOLUME, "manifest.volume", "services.b.volumes.data: "),
    "replicas": (lite(volumes='{ data = "/d" }', replicas="2") + VOLUME, "manifest.volume", "services.web.replicas: "),
    "taken hostname": (lite().replace('"lite"', '"other"'), "name.taken", "the namespace lite has that hostname"),
    "name with capitals": (named("Lite"), "manifest.name", "namespace: should be a name"),
    "name that begins with a dash": (named("-lite"), "manifest.name", "namespace: should be a name"),
    "service that begins with a dash": (lite() + service("-w"), "manifest.name", "services.-w: should be a name"),
    "no TOML": ("namespace lite\n", "manifest.syntax", "it is not TOML: Expected '='"),
    "no JSON": ('{"namespace": "lite",}', "manifest.syntax", "it is not JSON: "),
    "no UTF-8": (lite().encode() + b"# caf\xe9\n", "manifest.encoding", "it is not UTF-8 (byte "),
    "too large": (lite() + "#" * 256 * 1024, "manifest.too_large", "256 KiB"),
}


def assert_refused(ran: Ran, code: str, says: str) -> None:
    assert (ran.code, ran.error["state"], ran.error["code"]) == (3, "refused", code), ran.out
    assert ran.error["what"].startswith("cannot ")
    assert says in ran.error["why"]


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_that_cannot_be(light: Cluster, case: str) -> None:
    manifest, code, says = MANIFESTS[case]
    before = world(light)
    assert_refused(light.ctl("deploy", "-f", "-", given=manifest), code, says)
    assert_untouched(light, before)


def test_a_person_reads_where_why_and_what_to_try(light: Cluster) -> None:
    ran = light.plain("deploy", "-f", "-", given=lite(replicsa="2"))
    assert (ran.code, ran.out) == (3, "")
    assert "services.web.replicsa: is unknown here; the nearest known key is replicas" in ran.err
    assert "try: write services.web.replicas" in ran.err
    assert "Nothing was changed." in ran.err


def test_a_file_that_is_not_there(light: Cluster) -> None:
    assert_refused(light.ctl("deploy", "-f", "nowhere.toml"), "manifest.no_file", "there is no such file")


def test_no_daemon_is_no_refusal(light: Cluster) -> None:
    for words in (["deploy", "-f", "shop-1.toml"], ["status"]):
        ran = light.ctl("--socket", str(light.root / "nobody.sock"), *words)
        assert (ran.code, ran.error["code"], ran.error["state"]) == (1, "daemon.unreachable", "error")
        assert ran.error["try"]


def test_wrong_usage(light: Cluster) -> None:
    assert light.ctl("deploy").code == 2
    assert light.ctl("roll", "shop").code == 2


def test_a_full_pool_refuses_deploys_and_says_how_full_it_is(light: Cluster) -> None:
    before = world(light)
    with a_full_pool(light):
        assert_refused(light.deploy(lite(2)), "pool.full", "the pool of m1 is 9")
        assert any("the pool of m1 is 9" in warning for warning in light.ctl("status").json["warnings"])
        assert light.get("/version", host=LITE) == "1"
    assert_untouched(light, before)


@contextmanager
def a_full_pool(cluster: Cluster) -> Iterator[None]:
    """Reserved space counts as used: 97 % of what is free, without a byte written."""
    pool = cluster.datasets()[0]
    [free] = cluster.inside("zfs", "get", "-H", "-o", "value", "available", pool).split()
    amount, unit = float(free[:-1]), free[-1]
    cluster.inside("zfs", "create", "-o", f"reservation={int(amount * 0.97 * 1024)}{smaller(unit)}", f"{pool}/filler")
    try:
        yield
    finally:
        cluster.inside("zfs", "destroy", f"{pool}/filler")


def smaller(unit: str) -> str:
    units = "BKMGT"
    return units[units.index(unit) - 1]


# ---------------------------------------------------------------------------------- what the machine stands on


def test_an_engine_that_is_dead_is_named_and_comes_back_with_its_containers(light: Cluster) -> None:
    before, engine = world(light), light.process("dockerd", str(light.engine))
    os.kill(engine, signal.SIGKILL)
    assert light.get("/version", host=LITE) == "1"
    ran = light.deploy(lite(2))
    assert_refused(ran, "engine.down", "")
    assert "start the engine" in ran.error["try"]
    assert_refused(light.ctl("logs", "lite/web"), "engine.down", "")
    seen = light.ctl("ps", "lite")
    assert [instance["state"] for instance in seen.json["result"]["instances"]] == ["unknown"]
    assert "the engine of m1 cannot be asked" in seen.json["warnings"][0]

    light.kill_daemon()
    light.start_daemon()
    assert_untouched(light, before)
    assert light.get("/version", host=LITE) == "1"
    light.deployed(lite(2))
    assert light.get("/version", host=LITE) == "2"


def test_without_the_store_changes_are_refused_and_looks_answer_from_what_was_told_last(light: Cluster) -> None:
    before = world(light)
    server = light.process("nats-server", str(light.machine))
    with stopped(server):  # one that was killed is back within moments
        assert_refused(light.deploy(lite(2)), "store.down", "")
        wait_until(lambda: stale_since(light) is not None, "the mirror is known to be old")
        assert [row["state"] for row in light.done("ps", "lite")["instances"]] == ["running"]
        assert light.done("history", "lite")["deploys"]
        assert "The store cannot be reached. What follows was so " in light.plain("status").out
        assert light.get("/version", host=LITE) == "1"
    wait_until(lambda: stale_since(light) is None, "the store tells everything again")
    assert_untouched_but_for_claims(light, before)
    light.deployed(lite(2))
    assert light.get("/version", host=LITE) == "2"


def assert_untouched_but_for_claims(cluster: Cluster, before: dict[str, list[str]]) -> None:
    """A claim that was on its way to a server that slept lands when it wakes; the next operation sees to it."""
    after = claimed_or_not(cluster, recorded(cluster))
    for what in set(before) - {"heads"}:
        assert after[what] == before[what]


def stale_since(cluster: Cluster) -> str | None:
    since: str | None = cluster.done("status")["stale_since"]
    return since
