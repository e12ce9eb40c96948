"""What becomes of the generations before: who owns the snapshots, what is kept, and what goes."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

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
    run(lineage.settle(zfs.datasets, new, old))


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
    run(lineage.retire(FakeZfs().datasets, f"{VOLUME}/op-1"))


def test_without_snapshots() -> None:
    names = ["a/b", "a/b@s", "a/c", "a/bc"]
    found = lineage.without_snapshots(Dataset(name, name, None, {}, 0, None) for name in names)
    assert [dataset.name for dataset in found] == ["a/c", "a/bc"]


# ------------------------------------------------------------------------------------------------- freeing

SHOP, BRANCH = "tank/ployz/shop", "tank/ployz/branch"


class Story:
    """Generations of `shop/data`, and clones of their snapshots elsewhere."""

    def __init__(self) -> None:
        self.zfs = FakeZfs()
        self.content: dict[str, dict[str, bytes]] = {}

    def generation(self, name: str, source: str | None = None, state: str = "kept") -> None:
        by = name.rpartition("/")[2]
        if source:
            run(self.zfs.datasets.clone(source, name, by, {"state": state}, PLAIN))
        else:
            run(self.zfs.datasets.create(name, by, {"state": state}, PLAIN))
        self.zfs.write(name, f"row of {by}", b"1")
        self.content[name] = dict(self.zfs.kept[name].content)

    def snapshot(self, name: str, by: str) -> str:
        run(self.zfs.datasets.snapshot([name], by, by))
        return self.zfs.kept[f"{name}@{by}"].guid

    def free(self, *doomed: str) -> None:
        run(lineage.free(self.zfs.datasets, [SHOP], doomed))

    def names(self, within: str = SHOP) -> list[str]:
        return sorted(name.removeprefix(f"{within}/") for name in self.zfs.kept if name.startswith(f"{within}/"))


def test_a_doomed_snapshot_goes_and_then_the_kept_generation_that_it_was_all_of() -> None:
    story = Story()
    story.generation(f"{VOLUME}/op-1")
    doomed = story.snapshot(f"{VOLUME}/op-1", "op-2")
    story.generation(f"{VOLUME}/op-3", state="current")
    story.free(doomed)
    assert story.names() == ["data", "data/op-3"]


def test_what_is_not_doomed_stays_and_all_that_descends_to_it() -> None:
    story = Story()
    story.generation(f"{VOLUME}/op-1")
    doomed, needed = story.snapshot(f"{VOLUME}/op-1", "op-2"), story.snapshot(f"{VOLUME}/op-1", "op-3")
    story.generation(f"{VOLUME}/op-4", f"{VOLUME}/op-1@op-2", state="current")
    story.free(doomed)
    assert story.names() == ["data", "data/op-1", "data/op-1@op-3", "data/op-4", "data/op-4@op-2"]
    story.free(doomed, needed)
    assert story.names() == ["data", "data/op-4"]
    assert story.zfs.kept[f"{VOLUME}/op-4"].origin is None


def test_a_branch_takes_over_what_it_came_from_and_keeps_its_data() -> None:
    story = Story()
    story.generation(f"{VOLUME}/op-1")
    guids = [story.snapshot(f"{VOLUME}/op-1", by) for by in ("op-2", "op-3", "op-4")]
    for by, source in (("op-5", "op-2"), ("op-6", "op-3")):
        story.generation(f"{BRANCH}/data/{by}", f"{VOLUME}/op-1@{source}", state="current")
    story.free(*guids)
    assert story.names() == []
    assert SHOP not in story.zfs.kept
    for name in story.names(BRANCH):
        if "op-" in name and "@" not in name:
            assert story.zfs.kept[f"{BRANCH}/{name}"].content == story.content[f"{BRANCH}/{name}"]


def test_what_is_kept_of_a_branch_takes_over_what_only_it_needs_of_a_living_source() -> None:
    story = Story()
    story.generation(f"{BRANCH}/data/op-1")
    origin = story.snapshot(f"{BRANCH}/data/op-1", "op-2")
    story.generation(f"{VOLUME}/op-2", f"{BRANCH}/data/op-1@op-2")
    story.snapshot(f"{VOLUME}/op-2", "op-3")
    story.free(origin)
    assert story.names(BRANCH) == ["data"]
    assert story.names() == ["data", "data/op-2", "data/op-2@op-3"]
    assert story.zfs.kept[f"{VOLUME}/op-2"].content == story.content[f"{VOLUME}/op-2"]


def test_a_branch_of_the_present_holds_its_snapshot_until_it_is_gone() -> None:
    story = Story()
    story.generation(f"{VOLUME}/op-1", state="current")
    doomed = story.snapshot(f"{VOLUME}/op-1", "op-2")
    story.generation(f"{BRANCH}/data/op-3", f"{VOLUME}/op-1@op-2", state="current")
    story.free(doomed)
    assert story.names() == ["data", "data/op-1", "data/op-1@op-2"]
    run(story.zfs.datasets.destroy(f"{BRANCH}/data/op-3"))
    story.free(doomed)
    assert story.names() == ["data", "data/op-1"]


def test_a_clone_with_a_snapshot_of_the_same_name_cannot_take_over_and_all_stays() -> None:
    story = Story()
    story.generation(f"{VOLUME}/op-1")
    doomed = story.snapshot(f"{VOLUME}/op-1", "nightly")
    story.generation(f"{BRANCH}/data/op-3", f"{VOLUME}/op-1@nightly", state="current")
    story.snapshot(f"{BRANCH}/data/op-3", "nightly")
    story.free(doomed)
    assert story.names() == ["data", "data/op-1", "data/op-1@nightly"]


@pytest.mark.parametrize("seed", range(60))
def test_whatever_depends_on_what_only_what_nobody_needs_goes(seed: int) -> None:
    chance, story, guids = random.Random(seed), Story(), dict[str, str]()
    for number in range(1, 13):
        by = f"op-{number:02}"
        folder = chance.choice([VOLUME, VOLUME, f"{SHOP}/other", f"{BRANCH}/data"])
        state = "kept" if folder.startswith(SHOP) and chance.random() < 0.8 else "current"
        snapshots = [name for name in story.zfs.kept if "@" in name]
        story.generation(f"{folder}/{by}", chance.choice([None, *snapshots]), state)
        for name in [n for n in story.content if chance.random() < 0.3]:
            guids[story.snapshot(name, f"{by}-of-{name[-2:]}")] = name
    ours = [guid for guid, name in guids.items() if name.startswith(SHOP)]
    doomed = {guid for guid in ours if chance.random() < 0.7}
    held = {k.guid: dict(k.content) for k in story.zfs.kept.values() if k.guid not in doomed}
    states = {name: story.zfs.kept[name].marks["state"] for name in story.content}
    story.free(*doomed)
    left = {kept.guid: dict(kept.content) for kept in story.zfs.kept.values()}
    for guid in set(guids) - doomed:
        assert left[guid] == held[guid], "a snapshot that somebody needs is gone, or another"
    for name, content in story.content.items():
        assert states[name] == "kept" or story.zfs.kept[name].content == content, f"{name} was current"
    origins = {kept.origin for kept in story.zfs.kept.values()}
    assert [n for n, kept in story.zfs.kept.items() if kept.guid in doomed and n not in origins] == []
    for name in [n for n in story.content if n in story.zfs.kept and states[n] == "kept"]:
        owned = story.zfs.snapshots(name)
        assert any(story.zfs.kept[one].guid not in doomed for one in owned), f"{name} is of no use to anybody"
