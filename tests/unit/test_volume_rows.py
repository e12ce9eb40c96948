"""What is shown of volumes, and who needs what: deploy points, names, what came from a snapshot, open operations."""

import asyncio

from daemon.records import DeployPoint, Held, Namespace, Volume
from daemon.volume_rows import kept, snapshots, volumes
from daemon.volumes import needs
from dataplane.dataset import Dataset
from tests.fakes.seen import AT, SeenMirror, SeenPool, head

FOLDER = "tank/ployz/shop/data"
NOW = Dataset(f"{FOLDER}/op-2", "1", marks={"state": "current"}, path="/x", used=70, refers=50)
OLD = Dataset(f"{FOLDER}/op-1", "2", marks={"state": "kept"}, used=30)
LEFT = Dataset(f"{OLD.name}@op-2", "3", marks={"operation": "op-2"}, alone=7, created=1_700_000_000)
NAMED = Dataset(f"{NOW.name}@op-n", "4", marks={"operation": "op-n", "name": "before"}, created=1_700_000_100)
CAME = Dataset("tank/ployz/branch/data/op-b", "5", origin=NAMED.name)


def seen() -> tuple[SeenMirror, SeenPool]:
    committed = head("shop", 2)
    committed.volumes["data"] = Volume("data", "m1", "op-2", 2, quota=1000)
    point = DeployPoint(head("shop", 1), (Held("data", "op-2", "3"),), "op-2", AT)
    mirror = SeenMirror({"shop": Namespace(committed)}, [point])
    return mirror, SeenPool(root="tank/ployz", datasets=[NOW, OLD, LEFT, NAMED, CAME])


def test_a_volume_is_its_name_and_what_its_generation_holds() -> None:
    mirror, pool = seen()
    [row] = asyncio.run(volumes(mirror, pool, "shop"))
    assert (row.name, row.generation, row.epoch, row.quota) == ("data", "op-2", 2, 1000)
    assert (row.bytes, row.alone, row.mounted) == (50, 70, True)


def test_what_is_kept_tells_since_when_by_whom_and_for_whom() -> None:
    mirror, pool = seen()
    [row] = asyncio.run(kept(mirror, pool, None, [], "m1"))
    assert (row.namespace, row.name, row.generation, row.bytes) == ("shop", "data", "op-1", 30)
    assert (row.since, row.operation) == ("2023-11-14T22:13:20Z", "op-2")
    assert row.needed == ["deploy 1 of shop"]
    assert asyncio.run(kept(mirror, pool, "other", [], "m1")) == []


def test_each_snapshot_says_who_needs_it() -> None:
    mirror, pool = seen()
    left, named = asyncio.run(snapshots(mirror, pool, "shop", "data", ["op-n"]))
    assert (left.snapshot, left.name, left.bytes, left.needed) == ("op-2", None, 7, ["deploy 1 of shop"])
    assert (named.name, named.generation) == ("before", "op-2")
    assert named.needed == ["the name before", "branch/data came from it", "operation op-n"]


def test_the_dependant_with_the_newest_origin_is_the_first_to_be_promoted() -> None:
    ages = [Dataset(f"{OLD.name}@s{age}", f"g{age}", created=age) for age in (3, 1, 2)]
    clones = [Dataset(f"tank/ployz/b{age}/data/op", "c", origin=f"{OLD.name}@s{age}") for age in (1, 3, 2)]
    found = needs.dependants(OLD.name, [*clones, *ages])
    assert [one.origin for one in found] == [f"{OLD.name}@s{age}" for age in (3, 2, 1)]
