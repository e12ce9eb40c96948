"""What is shown of volumes, and who needs what: deploy points, names, what came from a snapshot, open operations."""

from dataclasses import replace

import pytest

from daemon.held import Pool, Pools
from daemon.records import DeployPoint, Held, Namespace, Volume
from daemon.volume_rows import kept, snapshots, volumes
from daemon.volumes import needs
from daemon.wire import Refused
from dataplane.dataset import Dataset
from tests.fakes.seen import AT, SeenMirror, head

FOLDER = "tank/ployz/shop/data"
NOW = Dataset(f"{FOLDER}/op-2", "1", marks={"state": "current"}, path="/x", used=70, refers=50)
OLD = Dataset(f"{FOLDER}/op-1", "2", marks={"state": "kept"}, used=30)
LEFT = Dataset(f"{OLD.name}@op-2", "3", marks={"operation": "op-2"}, alone=7, created=1_700_000_000)
OF_SHOP = {"namespace": "shop", "volume": "data"}
NAMED = Dataset(
    f"{NOW.name}@op-n", "4", marks={"operation": "op-n", "name": "before", **OF_SHOP}, created=1_700_000_100
)
CAME = Dataset("tank/ployz/branch/data/op-b", "5", origin=NAMED.name)


def seen() -> tuple[SeenMirror, Pools]:
    committed = head("shop", 2)
    committed.volumes["data"] = Volume("data", "m1", "op-2", 2, quota=1000)
    point = DeployPoint(head("shop", 1), (Held("data", "op-2", "3"),), "op-2", AT)
    mirror = SeenMirror({"shop": Namespace(committed)}, [point])
    return mirror, {"m1": Pool("tank/ployz", [NOW, OLD, LEFT, NAMED, CAME])}


def test_a_volume_is_its_name_and_what_its_generation_holds() -> None:
    mirror, pools = seen()
    [row] = volumes(mirror, pools, "shop")
    assert (row.name, row.generation, row.epoch, row.quota) == ("data", "op-2", 2, 1000)
    assert (row.bytes, row.alone, row.mounted) == (50, 70, True)


def test_what_is_kept_tells_since_when_by_whom_and_for_whom() -> None:
    mirror, pools = seen()
    [row] = kept(mirror, pools, None, [])
    assert (row.namespace, row.name, row.generation, row.bytes) == ("shop", "data", "op-1", 30)
    assert (row.since, row.operation) == ("2023-11-14T22:13:20Z", "op-2")
    assert row.needed == ["deploy 1 of shop"]
    assert kept(mirror, pools, "other", []) == []


def moved() -> tuple[SeenMirror, Pools]:
    """The volume is on m2 now, with all of its snapshots; m1 has kept what it was."""
    mirror, _ = seen()
    head = mirror.records["shop"].head
    assert head
    head.volumes["data"] = Volume("data", "m2", "op-3", 3)
    named = replace(NAMED, name=f"{OLD.name}@op-n")
    there = [replace(one, name=f"{FOLDER}/op-3@{one.name.partition('@')[2]}") for one in (LEFT, NAMED)]
    return mirror, {"m1": Pool("tank/ployz", [OLD, LEFT, named]), "m2": Pool("tank/ployz", there)}


def test_what_went_along_with_a_volume_needs_nothing_of_what_was_left_of_it() -> None:
    mirror, pools = moved()
    [row] = kept(mirror, pools, None, [])
    assert (row.machine, row.generation, row.needed) == ("m1", "op-1", [])
    rows = {(one.machine, one.snapshot): one.needed for one in snapshots(mirror, pools, "shop", "data", [])}
    assert rows[("m2", "op-2")] == ["deploy 1 of shop"]
    assert rows[("m2", "op-n")] == ["the name before"]
    assert (rows[("m1", "op-2")], rows[("m1", "op-n")]) == ([], [])


def test_what_may_not_have_gone_along_is_needed_where_it_is() -> None:
    mirror, pools = moved()
    [row] = kept(mirror, {"m1": pools["m1"]}, None, [])
    assert row.needed == ["deploy 1 of shop", "the name before"], "of m2 nobody knows what it has"
    mirror.history.append(DeployPoint(head("other", 1), (Held("data", "op-2", "3"),), "op-2", AT))
    mirror.records["other"] = Namespace(None)
    [row] = kept(mirror, pools, None, [])
    assert row.needed == ["deploy 1 of other"], "it was not the one that moved"


def test_each_snapshot_says_who_needs_it() -> None:
    mirror, pools = seen()
    left, named = snapshots(mirror, pools, "shop", "data", ["op-n"])
    assert (left.snapshot, left.name, left.bytes, left.needed) == ("op-2", None, 7, ["deploy 1 of shop"])
    assert (named.name, named.generation) == ("before", "op-2")
    assert named.needed == ["the name before", "branch/data came from it", "operation op-n"]


def test_the_snapshots_of_a_namespace_that_was_removed_are_shown_and_of_none_that_never_was() -> None:
    mirror, pools = seen()
    mirror.records["shop"] = Namespace()
    assert [row.name for row in snapshots(mirror, pools, "shop", "data", [])] == [None, "before"]
    for namespace, volume in (("shop", "dat"), ("shpo", "data")):
        with pytest.raises(Refused, match=r"there is no namespace shpo|shop was removed"):
            snapshots(mirror, pools, namespace, volume, [])


def test_what_somebody_named_is_shown_of_its_volume_wherever_a_promotion_has_taken_it() -> None:
    mirror, pools = seen()
    away = Dataset(
        f"{CAME.name}@op-a", "6", marks={"operation": "op-a", "name": "after", **OF_SHOP}, created=1_800_000_000
    )
    promoted = {"m1": Pool("tank/ployz", [*pools["m1"].below, away])}
    found = snapshots(mirror, promoted, "shop", "data", [])
    assert [row.name for row in found] == [None, "before", "after"]


def copied(mirror: SeenMirror, pools: Pools) -> dict[str, Pool]:
    """What is left on m1 from before has gone to m2, and somebody has written since; m3 has an older one."""
    far, marks = "far/shop/data", {"state": "copy"}
    there = {
        "m2": [Dataset(f"{far}/op-c", "7", marks=marks), Dataset(f"{far}/op-c@op-2", "3", created=1_700_000_000)],
        "m3": [Dataset(f"{far}/op-d", "8", marks=marks), Dataset(f"{far}/op-d@op-0", "9", created=1_600_000_000)],
    }
    return {**pools, **{name: Pool("far", below) for name, below in there.items()}}


def test_copies_tell_what_they_are_of_and_who_needs_that() -> None:
    mirror, pools = seen()
    there = copied(mirror, pools)
    [row] = volumes(mirror, there, "shop")
    assert [(one.machine, one.generation, one.written) for one in row.copies] == [
        ("m2", "op-c", None),
        ("m3", "op-d", None),
    ], "neither is of what it is now"
    assert row.copies[0].at == "2023-11-14T22:13:20Z"
    [left] = [row for row in snapshots(mirror, there, "shop", "data", []) if (row.machine, row.guid) == ("m1", "3")]
    assert left.needed == ["deploy 1 of shop", "the copy on m2"]
    assert kept(mirror, there, "shop", [])[0].needed == ["deploy 1 of shop", "the copy on m2"]
    owned = Dataset(f"{NOW.name}@op-2", "3", marks={"state": "base"}, refers=40, alone=5)
    now = {**there, "m1": Pool("tank/ployz", [NOW, owned])}
    assert [one.written for one in volumes(mirror, now, "shop")[0].copies] == [10 + 5, None]


def test_a_copy_of_what_is_no_volume_any_more_is_kept() -> None:
    mirror, pools = seen()
    committed = head("shop", 2)
    mirror.records["shop"] = Namespace(committed)
    rows = kept(mirror, copied(mirror, pools), "shop", [])
    assert [(row.machine, row.generation) for row in rows] == [("m1", "op-1"), ("m2", "op-c"), ("m3", "op-d")]


def test_the_dependant_with_the_newest_origin_is_the_first_to_be_promoted() -> None:
    ages = [Dataset(f"{OLD.name}@s{age}", f"g{age}", created=age) for age in (3, 1, 2)]
    clones = [Dataset(f"tank/ployz/b{age}/data/op", "c", origin=f"{OLD.name}@s{age}") for age in (1, 3, 2)]
    found = needs.dependants(OLD.name, [*clones, *ages])
    assert [one.origin for one in found] == [f"{OLD.name}@s{age}" for age in (3, 2, 1)]
