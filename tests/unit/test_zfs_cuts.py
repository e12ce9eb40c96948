"""The datasets, cut at every change: repeated, they end as if never cut; taken back, as if never begun."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest

from dataplane.dataset import Layout, NotOurs
from dataplane.zfs import Zfs
from tests.fakes.zfs import FakeZfs, Kept

T = TypeVar("T")
ROOT = "tank/ployz"
OLD, CACHE, NEW = (f"{ROOT}/shop/{last}" for last in ("data/op-1", "cache/op-1", "data/op-2"))
LAYOUT = Layout(quota=1000, owner="5:6", mode="700")


class Cut(Exception):
    """Here the world ends, as in a crash."""


@dataclass
class Knife:
    """A touch that cuts at its change number `at`, before it or after it."""

    at: int = -1
    after: bool = False
    touched: int = 0

    async def __call__(self, what: str, effect: Callable[[], T]) -> T:
        self.touched += 1
        if self.touched - 1 != self.at:
            return effect()
        if self.after:
            effect()
        raise Cut(what)


Verb = Callable[[Zfs], Awaitable[object]]


@dataclass(frozen=True)
class Made:
    """A verb that makes something, and how it is taken back."""

    do: Verb
    undo: Verb


async def undo_snapshots(zfs: Zfs) -> None:
    for dataset in (OLD, CACHE):
        await zfs.take_back(f"{dataset}@op-2", "op-2")


MAKING = {
    "create": Made(
        lambda zfs: zfs.create(f"{ROOT}/new/data/op-2", "op-2", {"state": "candidate", "epoch": "1"}, LAYOUT),
        lambda zfs: zfs.take_back(f"{ROOT}/new/data/op-2", "op-2"),
    ),
    "clone": Made(
        lambda zfs: zfs.clone(f"{OLD}@base-op-1", NEW, "op-2", {"state": "candidate"}, LAYOUT),
        lambda zfs: zfs.take_back(NEW, "op-2"),
    ),
    "snapshot": Made(
        lambda zfs: zfs.snapshot([OLD], "op-2", "op-2"),
        lambda zfs: zfs.take_back(f"{OLD}@op-2", "op-2"),
    ),
    "snapshot of several": Made(lambda zfs: zfs.snapshot([OLD, CACHE], "op-2", "op-2"), undo_snapshots),
}
CHANGING: dict[str, Verb] = {
    "mark": lambda zfs: zfs.mark(OLD, {"state": "kept", "epoch": "2"}),
    "unmount": lambda zfs: zfs.unmount(OLD),
    "promote": lambda zfs: zfs.promote(f"{ROOT}/branch/data/op-1"),
    "destroy": lambda zfs: zfs.destroy(f"{CACHE}@lone-op-1"),
    "take back": lambda zfs: zfs.take_back(f"{ROOT}/branch/data/op-1", "op-1"),
}
both = pytest.mark.parametrize("several", [False, True], ids=["like-zfs-fuse", "like-openzfs"])


def world(several: bool) -> FakeZfs:
    """Two volumes with their data, a kept generation beside them, a branch, and somebody else's dataset."""
    fake = FakeZfs(ROOT, several=several)

    async def prepare() -> None:
        zfs = fake.datasets
        for name in (OLD, CACHE):
            await zfs.create(name, "op-1", {"state": "current"}, Layout())
        await zfs.create(f"{ROOT}/shop/data/op-0", "op-0", {"state": "kept"}, Layout())
        await zfs.snapshot([OLD], "base-op-1", "op-1")
        await zfs.snapshot([CACHE], "lone-op-1", "op-1")
        await zfs.clone(f"{OLD}@base-op-1", f"{ROOT}/branch/data/op-1", "op-1", {"state": "current"}, Layout())
        fake.obey("create", f"{ROOT}/shop/data/by-hand")

    asyncio.run(prepare())
    fake.write(OLD, "row", b"1")
    return fake


def seen(fake: FakeZfs) -> dict[str, Kept]:
    """Everything there is, but for the guids of what was made anew."""
    return {name: replace(kept, number=0) for name, kept in sorted(fake.kept.items())}


def cuts(several: bool, verb: Verb) -> list[FakeZfs]:
    """The world after each way to cut the verb."""
    counting = Knife()
    whole = world(several)
    whole.touch = counting
    asyncio.run(run(verb, whole))
    assert counting.touched
    found = []
    for at in range(counting.touched):
        for after in (False, True):
            fake = world(several)
            fake.touch = Knife(at, after)
            with pytest.raises(Cut):
                asyncio.run(run(verb, fake))
            fake.touch = Knife()
            found.append(fake)
    return found


async def run(verb: Verb, fake: FakeZfs) -> Any:
    return await verb(fake.datasets)


@both
@pytest.mark.parametrize("name", [*MAKING, *CHANGING])
def test_repeated_it_ends_as_if_never_cut(name: str, several: bool) -> None:
    verb = MAKING[name].do if name in MAKING else CHANGING[name]
    whole = world(several)
    asyncio.run(run(verb, whole))
    for fake in cuts(several, verb):
        asyncio.run(run(verb, fake))
        assert seen(fake) == seen(whole)


@both
@pytest.mark.parametrize("name", MAKING)
def test_taken_back_it_is_as_if_never_begun(name: str, several: bool) -> None:
    before = seen(world(several))
    for fake in cuts(several, MAKING[name].do):
        for _ in range(2):
            asyncio.run(run(MAKING[name].undo, fake))
        assert seen(fake) == before


@both
@pytest.mark.parametrize("name", MAKING)
def test_taking_back_can_be_cut_too(name: str, several: bool) -> None:
    before = seen(world(several))

    async def there_and_back(zfs: Zfs) -> None:
        await MAKING[name].do(zfs)
        await MAKING[name].undo(zfs)

    for fake in cuts(several, there_and_back):
        asyncio.run(run(MAKING[name].undo, fake))
        assert seen(fake) == before


@both
def test_another_operation_takes_back_nothing_of_it(several: bool) -> None:
    for name in ("create", "clone"):
        for fake in cuts(several, MAKING[name].do):
            before = seen(fake)
            for dataset in (f"{ROOT}/new/data/op-2", NEW):
                try:
                    asyncio.run(fake.datasets.take_back(dataset, "op-22"))
                except NotOurs:
                    assert dataset in before
            assert seen(fake) == before
