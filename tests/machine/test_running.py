"""What runs of a service is changed by name, and commands run in instances of their own: nothing of those is left."""

import os
import signal

from tests.machine.cluster import Cluster, gone, wait_until
from tests.machine.explained import explained
from tests.machine.manifests import service
from tests.machine.test_killed import seen


def instances(cluster: Cluster, service: str) -> list[str]:
    return sorted(row["id"] for row in cluster.done("ps", "shop")["instances"] if row["service"] == service)


def test_a_service_is_restarted_stopped_started_and_scaled_and_rolled_back(shop: Cluster) -> None:
    before, web, db = seen(shop), instances(shop, "web"), instances(shop, "db")
    for name, old in (("web", web), ("db", db)):
        done = shop.done("restart", f"shop/{name}")
        assert {one["name"]: one["action"] for one in done["services"]}[name] == "replace"
        assert not set(instances(shop, name)) & set(old)
    assert (seen(shop).version, seen(shop).rows) == (before.version, before.rows)

    shop.done("stop", "shop/db")
    assert instances(shop, "db") == [""]
    assert shop.ctl("restart", "shop/db").error["code"] == "service.stopped"
    shop.done("deploy", "-f", "shop-1.toml")
    assert instances(shop, "db") == [""], "a deploy of the same file started what somebody had stopped"
    preview = shop.done("start", "shop/db", "--preview")
    assert instances(shop, "db") == [""]
    assert any("clone data" in step["says"] for step in preview["steps"])
    shop.done("start", "shop/db")
    wait_until(lambda: shop.status_of("/rows") == 200, "it has its database again")
    assert seen(shop).rows == before.rows

    shop.done("scale", "shop/web", "3")
    assert len(instances(shop, "web")) == 3
    assert "replicas = 3" in shop.done("export", "shop")["manifest"]
    assert shop.ctl("scale", "shop/db", "2").error["code"] == "manifest.volume"
    shop.done("rollback", "shop")
    assert len(instances(shop, "web")) == 1
    explained(shop)


def test_a_command_runs_in_an_instance_of_its_own_and_leaves_nothing(shop: Cluster) -> None:
    ran = shop.plain("run", "shop/web", "--", "sh", "-c", "getent hosts db && echo problem >&2 && exit 7")
    assert (ran.code, ran.err) == (7, "problem\n")
    assert "db" in ran.out
    typed = shop.plain("run", "-i", "shop/web", "--", "cat", given="typed\n")
    assert (typed.code, typed.out) == (0, "typed\n")
    apart = service("web", volumes='{ data = "/data" }')
    shop.deployed(f'namespace = "apart"\n{apart}[volumes.data]\n')
    ran_apart = shop.ctl("run", "apart/web", "--", "test", "-e", "/data")
    assert ran_apart.json["result"]["code"] == 1
    assert "without the volume data" in ran_apart.json["warnings"][0]
    shop.deployed('namespace = "apart"')
    missing = shop.ctl("run", "shop/web", "--", "/no/such/program")
    assert (missing.code, missing.error["state"]) == (4, "taken_back"), missing.out
    explained(shop)

    for end in (end_client, end_daemon):
        with shop.begin("run", "shop/web", "--", "sleep", "600") as client:
            wait_until(lambda: "shop-web-run" in shop.docker("ps", "--format", "{{.Names}}"), "it runs")
            [row] = shop.done("op", "ls")["operations"]
            assert (row["primitive"], row["state"]) == ("run", "running")
            end(shop, client.pid)
            client.communicate(timeout=60)
        shop.start_daemon()
        shop.settled()
        explained(shop)


def end_client(_: Cluster, client: int) -> None:
    os.kill(client, signal.SIGKILL)
    wait_until(lambda: gone(client), "ployzctl is gone")


def end_daemon(cluster: Cluster, _: int) -> None:
    cluster.kill_daemon()
