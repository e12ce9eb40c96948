"""The datasets, by one suite over the fake ZFS (as zfs-fuse and as OpenZFS) and a real one."""

import asyncio
from collections.abc import Awaitable

import pytest

from daemon.node import Datasets
from dataplane.dataset import Layout, NoRoom, NotOurs, PoolUnavailable, ZfsProblem
from dataplane.zfs import Zfs
from dataplane.zfs_tool import Busy
from tests.adapters.pools import (
    NOTHING,
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


def test_it_has_every_verb_that_a_node_wants(ground: Ground) -> None:
    datasets: Datasets = ground.zfs
    assert datasets.root == ground.zfs.root


class TestCreate:
    def test_makes_it_marked_and_mounted_below_unmounted_parents(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        found = there(ground, name)
        assert found.marks == {"operation": "op-1", "state": "candidate"}
        assert found.path
        assert found.origin is None
        for parent in ("shop", "shop/data"):
            dataset = there(ground, f"{ground.zfs.root}/{parent}")
            assert dataset.marks == {"operation": "op-1"}
            assert dataset.path is None

    def test_again_changes_nothing(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        ground.write(name, "row", b"1")
        before = there(ground, name)
        made(ground, "op-1")
        assert there(ground, name).guid == before.guid
        assert ground.read(name, "row") == b"1"

    def test_finishes_what_was_made_but_not_marked_and_not_mounted(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        half = generation(ground, "op-2")
        act(ground.zfs, "create", "-o", "canmount=noauto", half)
        made(ground, "op-2")
        assert there(ground, half).marks == {"operation": "op-2", "state": "candidate"}
        assert there(ground, half).path
        assert there(ground, name).marks["operation"] == "op-1"

    @pytest.mark.parametrize("mark", ["ployz:operation=op-7", "ployz:operation=op-11"])
    def test_leaves_what_another_operation_made(self, ground: Ground, mark: str) -> None:
        made(ground, "op-9")
        name = generation(ground, "op-1")
        act(ground.zfs, "create", "-o", "canmount=noauto", "-o", mark, name)
        before = there(ground, name)
        with pytest.raises(NotOurs):
            made(ground, "op-1")
        assert there(ground, name) == before

    def test_gives_its_root_an_owner_and_a_mode(self, ground: Ground) -> None:
        name = generation(ground, "op-1")
        asyncio.run(ground.zfs.create(name, "op-1", {}, Layout(owner="999:998", mode="2750")))
        assert ground.owner(name) == ("999:998", "2750")
        plain = made(ground, "op-2")
        assert ground.owner(plain) == ("0:0", "755")

    def test_several_at_once_share_the_parents(self, ground: Ground) -> None:
        names = [generation(ground, "op-1", f"shop/v{number}") for number in range(4)]

        async def scenario() -> None:
            await asyncio.gather(*(ground.zfs.create(name, "op-1", {}, NOTHING) for name in names))

        asyncio.run(scenario())
        assert all(there(ground, name).path for name in names)

    def test_refuses_a_name_that_would_not_tell_who_made_it(self, ground: Ground) -> None:
        name = generation(ground, "current")
        with pytest.raises(NotOurs):
            asyncio.run(ground.zfs.create(name, "op-1", {}, NOTHING))
        assert look(ground, name) is None

    def test_refuses_a_name_outside_of_its_root(self, ground: Ground) -> None:
        with pytest.raises(NotOurs):
            asyncio.run(ground.zfs.create(f"{ground.zfs.root}x/shop/data/op-1", "op-1", {}, NOTHING))


class TestQuota:
    @pytest.mark.parametrize("verb", ["create", "clone"])
    def test_bounds_what_is_written(self, ground: Ground, verb: str) -> None:
        layout, name = Layout(quota=400_000), generation(ground, "op-2")
        if verb == "create":
            asyncio.run(ground.zfs.create(name, "op-2", {}, layout))
        else:
            snapshot = snapped(ground, made(ground, "op-1"), "op-2")
            asyncio.run(ground.zfs.clone(snapshot, name, "op-2", {}, layout))
        ground.write(name, "small", b"1")
        with pytest.raises(NoRoom):
            fill(ground, name)


class TestFullPool:
    """What takes room is refused as such and leaves nothing; what gives some back is done."""

    def test_it_is_told_and_nothing_is_left(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        snapshot = snapped(ground, name, "op-2")
        clone = cloned(ground, snapshot, "op-3")
        with ground.full():
            before, space = all_below(ground), asyncio.run(ground.zfs.space())
            assert space.used == space.size
            for effort in (
                ground.zfs.create(generation(ground, "op-4"), "op-4", {}, NOTHING),
                ground.zfs.snapshot([name], "op-4", "op-4"),
                ground.zfs.clone(snapshot, generation(ground, "op-4"), "op-4", {}, NOTHING),
                ground.zfs.mark(name, {"state": "kept"}),
                ground.zfs.promote(clone),
            ):
                with pytest.raises(NoRoom):
                    asyncio.run(_awaited(effort))
            assert all_below(ground) == before
            asyncio.run(ground.zfs.unmount(clone))
            asyncio.run(ground.zfs.mount(clone))
            for gone in (clone, snapshot, name):
                asyncio.run(ground.zfs.destroy(gone))
                assert look(ground, gone) is None
        assert made(ground, "op-5")


async def _awaited(effort: Awaitable[object]) -> None:
    await effort


def fill(ground: Ground, dataset: str) -> None:
    """zfs-fuse lets some of it pass before it notices the quota, so it is tried in pieces."""
    for number in range(300):
        ground.write(dataset, f"piece{number}", NOISE)


NOISE = bytes(number * number % 251 for number in range(1 << 16))


class TestLooking:
    def test_absent_is_none(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        assert look(ground, f"{name}x") is None
        assert look(ground, f"{name}@x") is None
        assert asyncio.run(ground.zfs.below(f"{name}x")) == []

    def test_nothing_is_called_absent_where_the_root_is_missing(self, ground: Ground) -> None:
        elsewhere = Zfs("elsewhere/ployz", ground.zfs.abilities, ground.zfs.tool)
        with pytest.raises(PoolUnavailable):
            asyncio.run(elsewhere.look("elsewhere/ployz/shop/data/op-1"))
        with pytest.raises(PoolUnavailable):
            asyncio.run(elsewhere.below("elsewhere/ployz/shop"))

    def test_shows_own_marks_only(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        act(ground.zfs, "snapshot", f"{name}@bare")
        act(ground.zfs, "create", "-o", "canmount=noauto", f"{name}/bare")
        assert there(ground, f"{name}@bare").marks == {}
        assert there(ground, f"{name}/bare").marks == {}

    def test_below_is_everything_parents_first(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        snapped(ground, name, "op-2")
        made(ground, "op-3", "shop/data-2")
        assert all_below(ground) == [
            "shop",
            "shop/data",
            "shop/data/op-1",
            "shop/data/op-1@op-2",
            "shop/data-2",
            "shop/data-2/op-3",
        ]
        inside = asyncio.run(ground.zfs.below(name))
        assert [dataset.name for dataset in inside] == [f"{name}@op-2"]
        assert inside[0].marks == {"operation": "op-2"}

    def test_the_pool_has_a_size(self, ground: Ground) -> None:
        space = asyncio.run(ground.zfs.space())
        assert 0 <= space.used < space.size


class TestMark:
    def test_sets_and_replaces_and_keeps_the_others(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        value = "a=b c;" * 600
        asyncio.run(ground.zfs.mark(name, {"state": "current", "volume": value}))
        asyncio.run(ground.zfs.mark(name, {"state": "current", "epoch": "2"}))
        assert there(ground, name).marks == {"operation": "op-1", "state": "current", "volume": value, "epoch": "2"}

    def test_refuses_what_could_not_be_read_back(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        for value in ("two\nlines", "a\ttab", "x" * 9000):
            with pytest.raises(ZfsProblem):
                asyncio.run(ground.zfs.mark(name, {"state": value}))
        assert there(ground, name).marks["state"] == "candidate"

    def test_refuses_a_key_that_no_look_would_ask_for(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        with pytest.raises(ZfsProblem, match="cannot mark with stat:"):
            asyncio.run(ground.zfs.mark(name, {"stat": "current"}))
        with pytest.raises(ZfsProblem, match="cannot mark with colour:"):
            asyncio.run(ground.zfs.create(generation(ground, "op-2"), "op-2", {"colour": "red"}, NOTHING))
        assert look(ground, generation(ground, "op-2")) is None

    def test_needs_something_to_mark(self, ground: Ground) -> None:
        with pytest.raises(ZfsProblem):
            asyncio.run(ground.zfs.mark(generation(ground, "op-1"), {"state": "current"}))


class TestMount:
    def test_both_ways_twice(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        ground.write(name, "row", b"1")
        for _ in range(2):
            asyncio.run(ground.zfs.unmount(name))
            assert there(ground, name).path is None
        paths = {asyncio.run(ground.zfs.mount(name)) for _ in range(2)}
        assert paths == {there(ground, name).path}
        assert ground.read(name, "row") == b"1"

    def test_of_what_is_not_there_is_a_problem(self, ground: Ground) -> None:
        with pytest.raises(ZfsProblem):
            asyncio.run(ground.zfs.mount(generation(ground, "op-1")))

    def test_what_is_in_use_stays_mounted(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        hasty = Zfs(ground.zfs.root, ground.zfs.abilities, ground.zfs.tool, patience=0.3)
        with ground.in_use(name):
            with pytest.raises(Busy, match="unmount"):
                asyncio.run(hasty.unmount(name))
            with pytest.raises(Busy, match="destroy"):
                asyncio.run(hasty.destroy(name))
            assert there(ground, name).path


class TestDestroy:
    def test_removes_one_and_finds_absent_fine(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        ground.write(name, "row", b"1" * 100_000)
        snapshot = snapped(ground, name, "op-2")
        for gone in (snapshot, name):
            for _ in range(2):
                asyncio.run(ground.zfs.destroy(gone))
            assert look(ground, gone) is None

    def test_never_removes_what_depends_on_it(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        snapshot = snapped(ground, name, "op-2")
        clone = cloned(ground, snapshot, "op-2", "branch/data")
        before = all_below(ground)
        for needed in (name, snapshot, f"{ground.zfs.root}/shop"):
            with pytest.raises(ZfsProblem):
                asyncio.run(ground.zfs.destroy(needed))
        assert all_below(ground) == before
        assert there(ground, name).path
        assert there(ground, clone).path

    def test_leaves_what_bears_no_mark(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        act(ground.zfs, "create", "-o", "canmount=noauto", f"{name}-copy")
        act(ground.zfs, "snapshot", f"{name}@stranger")
        for stranger in (f"{name}-copy", f"{name}@stranger", ground.zfs.root):
            with pytest.raises(NotOurs):
                asyncio.run(ground.zfs.destroy(stranger))
            there(ground, stranger)

    def test_leaves_no_folder_that_nothing_is_in(self, ground: Ground) -> None:
        name, root = made(ground, "op-1"), ground.zfs.root
        made(ground, "op-1", "other/data")
        asyncio.run(ground.zfs.unmount(name))
        for gone in (name, f"{root}/shop/data", f"{root}/shop"):
            assert f"{root}/shop" in ground.folders()
            asyncio.run(ground.zfs.destroy(gone))
        assert ground.folders() == {f"{root}/other", f"{root}/other/data", f"{root}/other/data/op-1"}


class TestTakeBack:
    def test_removes_it_with_the_parents_that_it_made(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        for _ in range(2):
            asyncio.run(ground.zfs.take_back(name, "op-1"))
        assert all_below(ground) == []

    def test_leaves_no_folder_of_the_parents(self, ground: Ground) -> None:
        asyncio.run(ground.zfs.take_back(made(ground, "op-1"), "op-1"))
        assert ground.folders() == set()

    def test_removes_parents_alone(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        asyncio.run(ground.zfs.destroy(name))
        asyncio.run(ground.zfs.take_back(name, "op-1"))
        assert all_below(ground) == []

    def test_leaves_parents_that_others_made_or_are_in(self, ground: Ground) -> None:
        made(ground, "op-1")
        mine, own_volume = made(ground, "op-2"), made(ground, "op-2", "shop/cache")
        for name in (mine, own_volume):
            asyncio.run(ground.zfs.take_back(name, "op-2"))
        assert all_below(ground) == ["shop", "shop/data", "shop/data/op-1"]

        act(ground.zfs, "create", "-o", "canmount=noauto", f"{ground.zfs.root}/shop/data/stranger")
        asyncio.run(ground.zfs.take_back(generation(ground, "op-1"), "op-1"))
        assert all_below(ground) == ["shop", "shop/data", "shop/data/stranger"]

    def test_removes_what_was_made_but_not_marked(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        act(ground.zfs, "create", "-o", "canmount=noauto", generation(ground, "op-2"))
        act(ground.zfs, "snapshot", f"{name}@before-op-2")
        asyncio.run(ground.zfs.take_back(generation(ground, "op-2"), "op-2"))
        asyncio.run(ground.zfs.take_back(f"{name}@before-op-2", "op-2"))
        assert all_below(ground) == ["shop", "shop/data", "shop/data/op-1"]

    def test_leaves_a_strangers(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        act(ground.zfs, "create", "-o", "ployz:operation=op-7", "-o", "canmount=noauto", generation(ground, "op-2"))
        act(ground.zfs, "create", "-o", "ployz:operation=op-2", "-o", "canmount=noauto", generation(ground, "by-hand"))
        act(ground.zfs, "create", "-o", "canmount=noauto", generation(ground, "op-22"))
        act(ground.zfs, "snapshot", "-o", "ployz:operation=op-7", f"{name}@op-2")
        before = all_below(ground)
        for stranger in (*(generation(ground, last) for last in ("op-1", "op-2", "by-hand", "op-22")), f"{name}@op-2"):
            with pytest.raises(NotOurs):
                asyncio.run(ground.zfs.take_back(stranger, "op-2"))
        assert all_below(ground) == before

    def test_refuses_while_something_depends_on_it(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        snapshot = snapped(ground, name, "op-2")
        cloned(ground, snapshot, "op-3", "branch/data")
        before = all_below(ground)
        for needed, by in ((name, "op-1"), (snapshot, "op-2")):
            with pytest.raises(ZfsProblem):
                asyncio.run(ground.zfs.take_back(needed, by))
        assert all_below(ground) == before
