"""The datasets, by one suite over the fake ZFS (as zfs-fuse and as OpenZFS) and a real one."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from daemon.node import Datasets
from dataplane.dataset import Dataset, Layout, NoRoom, NotOurs, PoolUnavailable, ZfsProblem
from dataplane.zfs import Zfs
from dataplane.zfs_tool import Busy
from tests.adapters.pools import FakeGround, Ground, act, fresh_root, opened_pool
from tests.fakes.zfs import FakeZfs

LIKE_FUSE = ["fake", "real"]
NUMBERS = count()
NOTHING = Layout()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zfs]:
    with opened_pool(tmp_path_factory.mktemp("pool")) as zfs:
        yield zfs


@pytest.fixture(params=["fake", "fake-several", "real"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    if request.param == "real":
        return fresh_root(request.getfixturevalue("pool"), tmp_path / "volumes", f"t{next(NUMBERS)}")
    return FakeGround(FakeZfs(several=request.param == "fake-several"))


def generation(ground: Ground, operation: str, volume: str = "shop/data") -> str:
    return f"{ground.zfs.root}/{volume}/{operation}"


def made(ground: Ground, operation: str, volume: str = "shop/data") -> str:
    """A generation, made as operations make them."""
    name = generation(ground, operation, volume)
    asyncio.run(ground.zfs.create(name, operation, {"state": "candidate"}, NOTHING))
    return name


def snapped(ground: Ground, dataset: str, operation: str) -> str:
    asyncio.run(ground.zfs.snapshot([dataset], operation, operation))
    return f"{dataset}@{operation}"


def cloned(ground: Ground, snapshot: str, operation: str, volume: str = "shop/data") -> str:
    name = generation(ground, operation, volume)
    asyncio.run(ground.zfs.clone(snapshot, name, operation, {"state": "candidate"}, NOTHING))
    return name


def look(ground: Ground, name: str) -> Dataset | None:
    return asyncio.run(ground.zfs.look(name))


def there(ground: Ground, name: str) -> Dataset:
    found = look(ground, name)
    assert found is not None, f"there is no {name}"
    return found


def all_below(ground: Ground) -> list[str]:
    return [
        dataset.name.removeprefix(f"{ground.zfs.root}/") for dataset in asyncio.run(ground.zfs.below(ground.zfs.root))
    ]


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
        asyncio.run(ground.zfs.mark(name, {"state": "current", "head.0": value}))
        asyncio.run(ground.zfs.mark(name, {"state": "current", "epoch": "2"}))
        assert there(ground, name).marks == {"operation": "op-1", "state": "current", "head.0": value, "epoch": "2"}

    def test_refuses_what_could_not_be_read_back(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        for value in ("two\nlines", "a\ttab", "x" * 9000):
            with pytest.raises(ZfsProblem):
                asyncio.run(ground.zfs.mark(name, {"state": value}))
        assert there(ground, name).marks["state"] == "candidate"

    def test_needs_something_to_mark(self, ground: Ground) -> None:
        with pytest.raises(ZfsProblem):
            asyncio.run(ground.zfs.mark(generation(ground, "op-1"), {"state": "current"}))


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


class TestTakeBack:
    def test_removes_it_with_the_parents_that_it_made(self, ground: Ground) -> None:
        name = made(ground, "op-1")
        for _ in range(2):
            asyncio.run(ground.zfs.take_back(name, "op-1"))
        assert all_below(ground) == []

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
