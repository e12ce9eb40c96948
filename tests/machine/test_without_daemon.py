"""Nothing that serves notices a dead daemon, nor a dead store; what died is started again, what lives is adopted."""

from tests.machine.cluster import Cluster, wait_until
from tests.machine.cutting import kill
from tests.machine.explained import explained
from tests.machine.watcher import Watch

PLANE = ("dockerd", "nats-server", "caddy", "dnsmasq", "zfs-fuse")


def pids(cluster: Cluster) -> dict[str, int]:
    return {name: cluster.pid(name) for name in PLANE}


def answered(watch: Watch, more: int) -> None:
    """Wait until as many more requests of each kind were answered."""
    for asking in (watch.versions, watch.rows):
        wanted = len(asking.answers) + more
        wait_until(lambda asking=asking, wanted=wanted: len(asking.answers) >= wanted, "requests are answered")  # type: ignore[misc]


def test_requests_go_on_while_the_daemon_is_dead_and_everything_is_adopted(shop: Cluster) -> None:
    before = pids(shop), shop.container_ids(), shop.datasets(), shop.rules()
    with Watch(shop) as watch:
        answered(watch, 5)
        shop.kill_daemon()
        answered(watch, 20)
        assert shop.ctl("status").code == 1
        shop.start_daemon()
        answered(watch, 5)
    assert watch.versions.failures() + watch.rows.failures() == []
    assert (pids(shop), shop.container_ids(), shop.datasets(), shop.rules()) == before
    assert watch.acknowledged <= {id for id, _ in shop.rows()}
    explained(shop)


def test_requests_go_on_without_the_store_and_its_records_are_there_again(shop: Cluster) -> None:
    before, history = pids(shop), shop.done("history", "shop")
    with Watch(shop) as watch:
        answered(watch, 5)
        shop.kill_daemon()
        kill(shop.pid("nats-server"))
        answered(watch, 20)
        shop.start_daemon()
        answered(watch, 5)
    assert watch.versions.failures() + watch.rows.failures() == []
    after = pids(shop)
    assert {name for name in PLANE if after[name] != before[name]} == {"nats-server"}
    assert shop.done("history", "shop") == history
    explained(shop)
    shop.done("deploy", "-f", "shop-2.toml")


def test_what_dies_under_the_daemon_is_started_again_once(shop: Cluster) -> None:
    containers = shop.container_ids()
    with Watch(shop) as watch:
        for name in ("nats-server", "dnsmasq"):
            dead = shop.pid(name)
            kill(dead)
            wait_until(lambda name=name, dead=dead: is_back(shop, name, dead), f"{name} is back")  # type: ignore[misc]
        answered(watch, 5)
    assert watch.versions.failures() + watch.rows.failures() == []
    dead = shop.pid("caddy")
    kill(dead)
    wait_until(lambda: is_back(shop, "caddy", dead), "caddy is back")
    wait_until(lambda: shop.done("status")["stale_since"] is None, "the store tells everything again")
    after = pids(shop)
    shop.kill_daemon()
    shop.start_daemon()
    assert pids(shop) == after, "what was started again is adopted"
    assert shop.container_ids() == containers
    assert shop.get("/version") == "1"
    explained(shop)
    shop.done("deploy", "-f", "shop-2.toml")


def is_back(cluster: Cluster, name: str, dead: int) -> bool:
    try:
        return cluster.pid(name) != dead
    except LookupError:
        return False


def test_a_gateway_that_was_killed_comes_back_with_its_routes(shop: Cluster) -> None:
    before = pids(shop)
    shop.kill_daemon()
    kill(shop.pid("caddy"))
    shop.start_daemon()
    assert shop.get("/version") == "1"
    after = pids(shop)
    assert {name for name in PLANE if after[name] != before[name]} == {"caddy"}
    explained(shop)
