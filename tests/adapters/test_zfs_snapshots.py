"""Snapshots, clones and promotions, by one suite over the fake ZFS (as zfs-fuse and as OpenZFS) and a real one."""

import asyncio

import pytest

from dataplane.dataset import Layout, NotOurs, ZfsProblem
from tests.adapters.pools import (
    Ground,
    act,
    all_below,
    cloned,
    generation,
    look,
    made,
    snapped,
    there,
)

LIKE_FUSE = ["fake", "real"]


class TestSnapshot:
    def test_freezes_and_repeats(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        ground.write(name, "row", b"1")
        snapshot = snapped(ground, name, "op-2")
        before = there(ground, snapshot)
        ground.write(name, "row", b"2")
        snapped(ground, name, "op-2")
        assert there(ground, snapshot).guid == before.guid
        assert before.marks == {"operation": "op-2"}
        assert ground.read(cloned(ground, snapshot, "op-2"), "row") == b"1"

    def test_marks_what_was_made_but_not_marked(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        act(ground.zfs, "snapshot", f"{name}@op-2")
        snapped(ground, name, "op-2")
        assert there(ground, f"{name}@op-2").marks == {"operation": "op-2"}

    def test_leaves_what_another_made(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        act(ground.zfs, "snapshot", "-o", "ployz:operation=op-3", f"{name}@op-2")
        act(ground.zfs, "snapshot", f"{name}@mine")
        with pytest.raises(NotOurs):
            snapped(ground, name, "op-2")
        with pytest.raises(NotOurs):
            asyncio.run(ground.zfs.snapshot([name], "mine", "op-2"))
        assert there(ground, f"{name}@op-2").marks == {"operation": "op-3"}
        assert there(ground, f"{name}@mine").marks == {}

    def test_of_several_leaves_no_snapshot_that_nobody_asked_for(self, ground: Ground) -> None:
        names = self.several(ground)
        asyncio.run(ground.zfs.snapshot(names, "op-9", "op-9"))
        asyncio.run(ground.zfs.snapshot(names, "op-9", "op-9"))
        assert self.snapshots(ground) == ["shop/cache/op-2@op-9", "shop/data/op-1@op-9"]
        assert all(there(ground, f"{name}@op-9").marks == {"operation": "op-9"} for name in names)

    def test_of_several_is_taken_or_not_as_one(self, ground: Ground) -> None:
        names = self.several(ground)
        snapped(ground, names[0], "op-9")
        with pytest.raises(ZfsProblem, match="one instant"):
            asyncio.run(ground.zfs.snapshot(names, "op-9", "op-9"))
        assert self.snapshots(ground) == ["shop/data/op-1@op-9"]

    @pytest.mark.parametrize("ground", LIKE_FUSE, indirect=True)
    def test_repeated_after_a_cut_cleans_up(self, ground: Ground) -> None:
        names = self.several(ground)
        act(ground.zfs, "snapshot", "-r", f"{ground.zfs.root}/shop@op-9")
        act(ground.zfs, "set", "ployz:operation=op-9", f"{names[0]}@op-9")
        asyncio.run(ground.zfs.snapshot(names, "op-9", "op-9"))
        assert self.snapshots(ground) == ["shop/cache/op-2@op-9", "shop/data/op-1@op-9"]

    @pytest.mark.parametrize("ground", LIKE_FUSE, indirect=True)
    def test_taken_back_after_a_cut_leaves_nothing(self, ground: Ground) -> None:
        names = self.several(ground)
        snapped(ground, names[0], "op-8")
        act(ground.zfs, "snapshot", "-r", f"{ground.zfs.root}/shop@op-9")
        act(ground.zfs, "set", "ployz:operation=op-9", f"{names[0]}@op-9")
        for name in names:
            asyncio.run(ground.zfs.take_back(f"{name}@op-9", "op-9"))
        assert self.snapshots(ground) == ["shop/data/op-1@op-8"]

    def several(self, ground: Ground) -> list[str]:
        """Two current generations, beside one that is kept and one of another namespace."""
        names = [made(ground, "op-1"), made(ground, "op-2", "shop/cache")]
        made(ground, "op-0")
        made(ground, "op-1", "other/data")
        return names

    def snapshots(self, ground: Ground) -> list[str]:
        return [name for name in all_below(ground) if "@" in name]


class TestClone:
    def test_begins_as_the_snapshot_and_goes_its_own_way(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        ground.write(name, "row", b"1")
        snapshot = snapped(ground, name, "op-2")
        clone = cloned(ground, snapshot, "op-2", "branch/data")
        found = there(ground, clone)
        assert found.origin == snapshot
        assert found.marks == {"operation": "op-2", "state": "candidate"}
        assert found.path
        assert ground.read(clone, "row") == b"1"
        ground.write(clone, "row", b"2")
        assert ground.read(name, "row") == b"1"
        cloned(ground, snapshot, "op-2", "branch/data")
        assert there(ground, clone).guid == found.guid

    def test_keeps_owner_and_mode_of_what_it_began_as(self, ground: Ground) -> None:
        name = generation(ground, "op-1")
        asyncio.run(ground.zfs.create(name, "op-1", {}, Layout(owner="999:999", mode="700")))
        assert ground.owner(cloned(ground, snapped(ground, name, "op-2"), "op-2")) == ("999:999", "700")

    def test_of_what_is_not_there_makes_nothing(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        with pytest.raises(ZfsProblem):
            cloned(ground, f"{name}@none", "op-2")
        assert look(ground, generation(ground, "op-2")) is None


class TestPromote:
    def test_a_chain_of_three_moves_snapshots_with_their_marks(self, ground: Ground) -> None:
        first = made(ground, "op-1")
        snapshots, names = [], [first]
        for operation in ("op-2", "op-3", "op-4"):
            snapshots.append(there(ground, snapped(ground, names[-1], operation)))
            names.append(cloned(ground, snapshots[-1].name, operation))
        last = names[-1]
        for _ in names:
            asyncio.run(ground.zfs.promote(last))
        assert there(ground, last).origin is None
        inside = {dataset.name: dataset for dataset in asyncio.run(ground.zfs.below(last))}
        for snapshot, operation in zip(snapshots, ("op-2", "op-3", "op-4"), strict=True):
            moved = inside[f"{last}@{operation}"]
            assert moved.guid == snapshot.guid
            assert moved.marks == {"operation": operation}
        assert there(ground, first).origin == f"{last}@op-2"
        asyncio.run(ground.zfs.promote(last))
        assert there(ground, last).origin is None

    def test_one_step_moves_to_the_origin_of_the_origin(self, ground: Ground) -> None:
        first = made(ground, "op-1")
        second = cloned(ground, snapped(ground, first, "op-2"), "op-2")
        third = cloned(ground, snapped(ground, second, "op-3"), "op-3")
        asyncio.run(ground.zfs.promote(third))
        assert there(ground, third).origin == f"{first}@op-2"
        assert there(ground, second).origin == f"{third}@op-3"

    def test_the_old_one_can_be_destroyed_afterwards(self, ground: Ground) -> None:
        first = made(ground, "op-1")
        ground.write(first, "row", b"1")
        second = cloned(ground, snapped(ground, first, "op-2"), "op-2")
        asyncio.run(ground.zfs.promote(second))
        asyncio.run(ground.zfs.destroy(first))
        assert look(ground, first) is None
        assert ground.read(second, "row") == b"1"

    def test_of_what_is_not_there_is_a_problem(self, ground: Ground) -> None:
        with pytest.raises(ZfsProblem):
            asyncio.run(ground.zfs.promote(generation(ground, "op-1")))
