"""What becomes of the generations before: who owns the snapshots, what is kept, and what goes."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from daemon import lineage
from dataplane.dataset import Dataset, Layout
from tests.fakes.zfs import FakeZfs

VOLUME = "tank/ployz/shop/data"
PLAIN = Layout(None, None, None)


def run(effort: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(effort)


def made() -> FakeZfs:
    """op-1, snapshotted for op-2, which is a clone of it."""
    zfs = FakeZfs()
    run(zfs.datasets.create(f"{VOLUME}/op-1", "op-1", {"state": "current"}, PLAIN))
    zfs.write(f"{VOLUME}/op-1", "row", b"1")
    replace(zfs, f"{VOLUME}/op-1", "op-2")
    return zfs


def replace(zfs: FakeZfs, old: str, by: str, source: str | None = None) -> None:
    run(zfs.datasets.snapshot([old], by, by))
    run(zfs.datasets.clone(source or f"{old}@{by}", f"{VOLUME}/{by}", by, {"state": "current"}, PLAIN))


def settle(zfs: FakeZfs, old: str, new: str) -> None:
    run(lineage.make_independent(zfs.datasets, new))
    run(lineage.retire(zfs.datasets, VOLUME, old))


def generations(zfs: FakeZfs) -> list[str]:
    return sorted(name.rpartition("/")[2] for name in zfs.kept if name.startswith(f"{VOLUME}/") and "@" not in name)


def test_a_replaced_generation_goes_and_its_snapshot_stays() -> None:
    zfs = made()
    settle(zfs, f"{VOLUME}/op-1", f"{VOLUME}/op-2")
    assert generations(zfs) == ["op-2"]
    assert zfs.read_file(f"{VOLUME}/op-2@op-2", "row") == b"1"
    assert zfs.kept[f"{VOLUME}/op-2"].origin is None


def test_settling_twice_is_settling_once() -> None:
    zfs = made()
    for _ in range(2):
        settle(zfs, f"{VOLUME}/op-1", f"{VOLUME}/op-2")
    assert generations(zfs) == ["op-2"]


def test_a_generation_that_alone_holds_a_snapshot_is_kept_unmounted() -> None:
    zfs = made()
    settle(zfs, f"{VOLUME}/op-1", f"{VOLUME}/op-2")
    zfs.write(f"{VOLUME}/op-2", "row", b"2")
    replace(zfs, f"{VOLUME}/op-2", "op-3", source=f"{VOLUME}/op-2@op-2")
    settle(zfs, f"{VOLUME}/op-2", f"{VOLUME}/op-3")
    assert generations(zfs) == ["op-2", "op-3"]
    kept = zfs.kept[f"{VOLUME}/op-2"]
    assert (kept.marks["state"], kept.mounted) == ("kept", False)
    assert zfs.read_file(f"{VOLUME}/op-2@op-3", "row") == b"2"


def test_the_current_one_descends_from_nobody_even_over_two_generations() -> None:
    zfs = made()
    settle(zfs, f"{VOLUME}/op-1", f"{VOLUME}/op-2")
    replace(zfs, f"{VOLUME}/op-2", "op-3", source=f"{VOLUME}/op-2@op-2")
    settle(zfs, f"{VOLUME}/op-2", f"{VOLUME}/op-3")
    replace(zfs, f"{VOLUME}/op-3", "op-4", source=f"{VOLUME}/op-2@op-3")
    settle(zfs, f"{VOLUME}/op-3", f"{VOLUME}/op-4")
    assert zfs.kept[f"{VOLUME}/op-4"].origin is None
    snapshots = {name.rpartition("@")[2] for name in zfs.kept if "@" in name}
    assert snapshots == {"op-2", "op-3", "op-4"}


def test_a_clone_of_another_volume_is_left_as_it_is() -> None:
    zfs = made()
    other = "tank/ployz/branch/data/op-9"
    run(zfs.datasets.clone(f"{VOLUME}/op-1@op-2", other, "op-9", {"state": "current"}, PLAIN))
    run(lineage.make_independent(zfs.datasets, other))
    assert zfs.kept[other].origin == f"{VOLUME}/op-1@op-2"


def test_what_is_gone_is_retired_already() -> None:
    run(lineage.retire(FakeZfs().datasets, VOLUME, f"{VOLUME}/op-1"))


def test_without_snapshots() -> None:
    names = ["a/b", "a/b@s", "a/c", "a/bc"]
    found = lineage.without_snapshots(Dataset(name, name, None, {}, 0, None) for name in names)
    assert [dataset.name for dataset in found] == ["a/c", "a/bc"]
