"""Who came from whom, and in what two namespaces differ."""

from msgspec.structs import replace

from daemon.family import branches, code, volumes
from daemon.held import Pool
from daemon.records import Head, Source, Volume
from dataplane.dataset import Dataset

AT = "2026-01-01T00:00:00Z"


def head(name: str, source: str = "", image: str = "web:1") -> Head:
    manifest = f'namespace = "{name}"\n[services.web]\nimage = "{image}"\n'
    came = Source(source, 3, AT) if source else None
    return Head(name, 1, "op-1", AT, "ann", manifest, {}, {"data": Volume("data", "m1", "op-1", 1)}, source=came)


SHOP, PR, DEEP, LOST = head("shop"), head("pr", "shop", "web:2"), head("deep", "pr"), head("lost", "gone")
HEADS = {one.namespace: one for one in (SHOP, PR, DEEP, LOST)}
POOLS = {
    "m1": Pool(
        "tank",
        [
            Dataset("tank/shop/data/op-1", "1", alone=100),
            Dataset("tank/pr/data/op-1", "2", origin="tank/shop/data/op-1@op-1", alone=7),
            Dataset("tank/pr/data/op-1@op-2", "3", alone=1),
        ],
    )
}


def test_each_stands_below_what_it_came_from() -> None:
    rows = branches(HEADS, POOLS)
    assert [(row.namespace, row.source, row.bytes) for row in rows] == [
        ("lost", "gone", 0),
        ("pr", "shop", 8),
        ("deep", "pr", 0),
    ]
    assert [row.namespace for row in branches(HEADS, POOLS, of="pr")] == ["deep"]
    assert [row.bytes for row in branches(HEADS, {}, of="shop")] == [None, None]


def test_what_differs_is_named_by_its_path() -> None:
    [image] = code(SHOP, PR)
    assert (image.path, image.source, image.target) == ("services.web.image", "web:1", "web:2")
    assert code(SHOP, replace(SHOP, namespace="other")) == []


def test_of_volumes_it_is_told_what_each_alone_holds() -> None:
    [data] = volumes(SHOP, PR, POOLS)
    assert (data.name, data.source, data.target) == ("data", 100, 8)
    [gone] = volumes(SHOP, replace(PR, volumes={}), POOLS)
    assert (gone.source, gone.target) == (100, None)
