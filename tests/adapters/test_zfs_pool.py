"""The pool: opened, found again after every kind of end, and never made over what was there."""

import asyncio
import os
from collections.abc import Awaitable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dataplane import pool
from dataplane.dataset import Layout, PoolUnavailable, ZfsProblem
from dataplane.pool import PoolWish, fuse, open_pool
from dataplane.zfs import Zfs
from dataplane.zfs_tool import ZfsTool
from runtime.command import finish, run
from tests.adapters.pools import SIZE, clear, kill, require_sandbox
from tests.stopping import stopped

GENERATION = "ployz-m1/ployz/shop/data/op-1"


@pytest.fixture
def wish(tmp_path: Path) -> Iterator[PoolWish]:
    require_sandbox()
    found = PoolWish("m1", tmp_path / "data", size=SIZE)
    yield found
    clear(found)


def opened(wish: PoolWish) -> Zfs:
    return asyncio.run(open_pool(wish))


def with_a_row(wish: PoolWish) -> Path:
    """Open the pool and write a row into a new generation."""
    zfs = opened(wish)

    async def scenario() -> str:
        await zfs.create(GENERATION, "op-1", {}, Layout())
        return await zfs.mount(GENERATION)

    row = Path(asyncio.run(scenario()), "row")
    with row.open("wb", buffering=0) as file:
        file.write(b"1")
        os.fsync(file.fileno())
    return row


def test_opening_makes_a_pool_in_a_sparse_file(wish: PoolWish) -> None:
    zfs = opened(wish)
    assert zfs.root == "ployz-m1/ployz"
    assert wish.image.stat().st_size == SIZE
    assert wish.image.stat().st_blocks * 512 < SIZE / 4
    assert asyncio.run(zfs.below(zfs.root)) == []
    row = with_a_row(wish)
    assert row == wish.folder / "volumes" / "shop/data/op-1/row"


def test_filesystems_that_are_mounted_at_once_all_answer(wish: PoolWish) -> None:
    zfs = replace(opened(wish), tool=ZfsTool(within=10.0))
    names = [f"ployz-m1/ployz/shop/data-{at}/op-1" for at in range(4)]

    async def scenario() -> None:
        for name in names:
            await zfs.create(name, "op-1", {}, Layout())
        for _ in range(8):
            await asyncio.gather(*(zfs.unmount(name) for name in names))
            paths = await asyncio.gather(*(zfs.mount(name) for name in names))
            assert [list(Path(path).iterdir()) for path in paths] == [[]] * len(names)

    asyncio.run(scenario())


def test_some_room_is_kept_that_nobody_else_gets(wish: PoolWish) -> None:
    zfs = opened(wish)
    kept = asyncio.run(reserved(zfs))
    assert abs(kept - SIZE // 64) < 1 << 20
    asyncio.run(zfs.give_room())
    asyncio.run(zfs.give_room())
    assert asyncio.run(reserved(zfs)) == 0
    asyncio.run(zfs.keep_room())
    assert asyncio.run(reserved(zfs)) == kept
    asyncio.run(zfs.give_room())
    filler = "ployz-m1/filler"
    asyncio.run(run("zfs", "create", filler))
    free = asyncio.run(free_of("ployz-m1"))
    asyncio.run(run("zfs", "set", f"reservation={free - kept // 3}", filler))
    asyncio.run(zfs.keep_room())
    assert kept // 5 < asyncio.run(reserved(zfs)) < kept // 3, "as much as fits"


async def reserved(zfs: Zfs) -> int:
    return int(await run("zfs", "get", "-Hp", "-o", "value", "reservation", f"{zfs.root}-room"))


async def free_of(pool: str) -> int:
    return int(await run("zfs", "get", "-Hp", "-o", "value", "available", pool))


def test_opening_again_adopts_what_runs(wish: PoolWish) -> None:
    row = with_a_row(wish)
    pid = fuse(wish.folder).running()
    opened(wish)
    assert fuse(wish.folder).running() == pid
    assert row.read_bytes() == b"1"


def test_mounts_that_hang_are_told_and_keep_nobody_else_waiting(wish: PoolWish) -> None:
    with_a_row(wish)
    pid, tool = fuse(wish.folder).running(), ZfsTool(within=0.5)
    if pid is None:
        return  # ZFS in the kernel cannot be made to stand still

    async def scenario() -> None:
        async with asyncio.timeout(20):
            looks = [asyncio.create_task(tool.mounted(GENERATION)) for _ in range(40)]
            told = await asyncio.gather(*looks, return_exceptions=True)
            assert {type(one) for one in told} == {PoolUnavailable}
            assert await asyncio.to_thread(str, 7) == "7"

    with stopped(pid):
        asyncio.run(scenario())
    assert asyncio.run(tool.mounted(GENERATION))


def test_the_pool_and_its_data_survive_a_crash(wish: PoolWish) -> None:
    row = with_a_row(wish)
    kill(wish)
    zfs = opened(wish)
    assert not row.parent.exists(), "there is a directory that an engine could start a database on"
    assert asyncio.run(zfs.mount(GENERATION)) == str(row.parent)
    assert row.read_bytes() == b"1"


def test_a_crash_is_noticed_and_not_taken_for_absence(wish: PoolWish) -> None:
    row = with_a_row(wish)
    assert row.read_bytes() == b"1"  # from here on the kernel remembers it, and stat(2) tells nothing
    zfs = opened(wish)
    kill(wish)
    for question in (zfs.look(GENERATION), zfs.below(GENERATION), zfs.mount(GENERATION), zfs.space()):
        with pytest.raises(PoolUnavailable):
            asyncio.run(_to_end(question))


def test_a_pool_that_was_not_imported_is_not_taken_for_an_empty_one(wish: PoolWish) -> None:
    with_a_row(wish)
    zfs = opened(wish)
    kill(wish)
    asyncio.run(_restart(wish))
    with pytest.raises(PoolUnavailable):
        asyncio.run(zfs.look(GENERATION))


def test_a_cut_creation_is_begun_again(wish: PoolWish) -> None:
    wish.folder.mkdir()
    wish.image.touch()
    os.truncate(wish.image, SIZE)
    assert opened(wish).root == wish.root


def test_an_image_that_cannot_be_opened_is_left_as_it_is(wish: PoolWish) -> None:
    with_a_row(wish)
    clear(wish)
    with wish.image.open("r+b") as file:
        for offset in (0, SIZE - 1024**2):
            file.seek(offset)
            file.write(b"?" * 1024**2)
    before = wish.image.read_bytes()
    with pytest.raises(PoolUnavailable, match="left untouched"):
        opened(wish)
    assert wish.image.read_bytes() == before


def test_an_image_that_another_process_has_open_is_not_opened(wish: PoolWish) -> None:
    with_a_row(wish)
    clear(wish)
    with wish.image.open("rb"), pytest.raises(PoolUnavailable, match=f"process {os.getpid()} has it open"):
        opened(wish)


def test_one_that_does_not_end_though_it_was_killed_is_named(wish: PoolWish, monkeypatch: pytest.MonkeyPatch) -> None:
    with_a_row(wish)
    clear(wish)
    monkeypatch.setattr(pool, "is_ending", lambda _: True)
    monkeypatch.setattr(pool, "ANSWERS_WITHIN", 2.0)
    with wish.image.open("rb"), pytest.raises(PoolUnavailable, match=f"process {os.getpid()} was killed"):
        opened(wish)


def test_a_pool_of_the_same_name_in_another_file_is_not_ours(wish: PoolWish, tmp_path: Path) -> None:
    opened(wish)
    with pytest.raises(PoolUnavailable, match="not the one in"):
        opened(replace(wish, folder=tmp_path / "other"))
    assert not (tmp_path / "other" / "pool.img").exists()


def test_a_named_dataset_is_used_or_made_in_its_pool(wish: PoolWish) -> None:
    opened(wish)
    named = replace(wish, dataset="ployz-m1/elsewhere/deep")
    with pytest.raises(ZfsProblem, match="parent"):
        opened(named)
    named = replace(wish, dataset="ployz-m1/elsewhere")
    for _ in range(2):
        assert opened(named).root == "ployz-m1/elsewhere"
    with pytest.raises(PoolUnavailable, match="no pool tank"):
        opened(replace(wish, dataset="tank/ployz"))


def test_a_named_dataset_that_is_mounted_nowhere_is_refused(wish: PoolWish) -> None:
    opened(wish)
    asyncio.run(run("zfs", "create", "ployz-m1/bare"))
    with pytest.raises(ZfsProblem, match="its mountpoint is none; try `zfs set"):
        opened(replace(wish, dataset="ployz-m1/bare"))


async def _restart(wish: PoolWish) -> None:
    """Start zfs-fuse, as somebody else would, and wait until it answers that it has no pool."""
    await fuse(wish.folder).ensure()
    async with asyncio.timeout(20):
        while (await finish("zpool", "list", "-H", may_exit=(0, 1))).code:
            await asyncio.sleep(0.02)


async def _to_end(work: Awaitable[object]) -> object:
    return await work
