"""What is broken for real is named, with what to do; what is whole is not."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.machine.cluster import Cluster
from tests.machine.explained import explained
from tests.machine.test_open_ends import id, somebody_in
from tests.stopping import stopped


def examined(cluster: Cluster, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and the checks by name."""
    ran = cluster.ctl("doctor", *words)
    return ran.code, {check["name"]: check for check in ran.json["result"]["checks"]}


def not_ok(checks: dict[str, Any]) -> dict[str, str]:
    return {name: check["state"] for name, check in checks.items() if check["state"] != "ok"}


@contextmanager
def filled(cluster: Cluster) -> Iterator[None]:
    """A pool of which somebody has set four fifths aside."""
    cluster.inside("zfs", "create", "-o", "reservation=16G", "-o", "mountpoint=none", "ployz-m1/filler")
    try:
        yield
    finally:
        cluster.inside("zfs", "destroy", "ployz-m1/filler")


@contextmanager
def without_key(cluster: Cluster) -> Iterator[None]:
    key = cluster.machine / "data" / "vault" / "identity"
    elsewhere = key.rename(key.with_name("elsewhere"))
    try:
        yield
    finally:
        elsewhere.rename(key)


def test_each_thing_that_is_broken_is_named_and_what_to_do(shop: Cluster) -> None:
    code, whole = examined(shop)
    assert (code, not_ok(whole)) == (0, {}), whole
    assert {check["machine"] for check in whole.values()} == {"m1"}
    operation = id()
    generation = shop.machine / "data" / "volumes" / "shop" / "data" / operation
    with (
        shop.begin("--json", "deploy", "-f", "shop-3.toml", "--op-id", operation) as client,
        somebody_in(shop, generation),
        filled(shop),
    ):
        out, _ = client.communicate(timeout=120)
        assert client.returncode == 5, out
        with stopped(shop.pid("dnsmasq")), without_key(shop):
            shop.inside("nft", "delete", "table", "ip", "ployz")
            code, checks = examined(shop)
    broken = {"pool": "warning", **dict.fromkeys(("firewall", "names", "secrets", "operations"), "failure")}
    assert (code, not_ok(checks)) == (3, broken), checks
    assert all(checks[name]["try"] for name in broken)
    assert f"ployzctl op resume {operation}" in checks["operations"]["try"]
    assert "there is no table ployz" in checks["firewall"]["says"]
    assert "8" in checks["pool"]["says"].partition(" % full")[0]
    assert shop.ctl("op", "resume", operation).code == 4
    assert "deploy" in checks["firewall"]["try"]
    shop.done("deploy", "-f", "shop-2.toml")
    code, again = examined(shop)
    assert (code, not_ok(again)) == (0, {}), again
    explained(shop)


def test_without_its_daemon_the_host_is_examined_and_the_daemon_missed(light: Cluster) -> None:
    light.kill_daemon()
    try:
        code, checks = examined(light, "--context", "t")
        assert (code, checks["daemon"]["state"]) == (3, "failure")
        assert not {"pool", "store"} & set(checks)
        code, host = examined(light, "--host")
        assert (code, set(checks) - set(host)) == (0, {"daemon"})
    finally:
        light.start_daemon()
