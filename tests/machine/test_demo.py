"""The main job, in the user's words: deploy, break, roll back code and data, undo that."""

from tests.machine.cluster import Cluster


def test_the_demo_walks(shop: Cluster) -> None:
    assert shop.get("/version") == "1"
    rows = int(shop.get("/rows"))

    result = shop.done("deploy", "-f", "shop-2.toml")
    assert [(s["name"], s["action"]) for s in result["services"]] == [("db", "unchanged"), ("web", "replace")]
    assert shop.get("/version") == "2"
    shop.write_row()

    before = shop.dump(), shop.container_ids(), shop.datasets()
    broken = shop.ctl("deploy", "-f", "shop-3.toml")
    assert broken.code == 4
    assert broken.error["state"] == "taken_back"
    assert "/srv/migrate" in broken.error["why"]
    assert (shop.dump(), shop.container_ids(), shop.datasets()) == before
    assert shop.get("/version") == "2"

    shop.done("rollback", "shop")
    assert (shop.get("/version"), int(shop.get("/rows"))) == ("1", rows)
    shop.done("rollback", "shop")
    assert (shop.get("/version"), int(shop.get("/rows"))) == ("2", rows + 1)
