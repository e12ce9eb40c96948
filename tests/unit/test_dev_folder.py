"""The folder of a local cluster: it is there from its first whole file on, and strangers' files outlive it."""

import asyncio
from pathlib import Path

import pytest

from daemon.dev.folder import ClusterRecord, Folder, MachineRecord, folders, locked
from daemon.wire import Refused

SHOP = ClusterRecord("shop", "namespace", (MachineRecord("m1", 8080),))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "shop")


def test_what_was_written_is_read(folder: Folder) -> None:
    assert folder.read() is None
    folder.write(SHOP)
    assert folder.read() == SHOP
    moved = ClusterRecord("shop", "namespace", (MachineRecord("m1", 8081),))
    folder.write(moved)
    assert folder.read() == moved
    assert [each.name for each in folders(folder.path.parent)] == ["shop"]


def test_one_that_was_being_made_is_no_cluster_and_does_not_hinder(folder: Folder) -> None:
    unfinished = folder.path.with_name(".shop.new")
    unfinished.mkdir()
    (unfinished / "cluster.json").write_text('{"na')
    assert folder.read() is None
    assert folders(folder.path.parent) == []
    folder.write(SHOP)
    assert folder.read() == SHOP
    assert not unfinished.exists()


@pytest.mark.parametrize("content", ["{", '{"name":"shop"}', "[]"])
def test_a_file_that_is_not_ours_is_refused(folder: Folder, content: str) -> None:
    folder.path.mkdir()
    (folder.path / "cluster.json").write_text(content)
    with pytest.raises(Refused, match="cannot be read") as refused:
        folder.read()
    assert refused.value.code == "dev.foreign"


def test_a_folder_that_is_not_ours_is_refused(folder: Folder) -> None:
    folder.path.mkdir()
    (folder.path / "letters").write_text("mine")
    with pytest.raises(Refused, match=r"no cluster\.json"):
        folder.read()


def test_removing_leaves_what_others_put_there_and_names_it(folder: Folder) -> None:
    folder.write(SHOP)
    (folder.path / "m1").mkdir()
    (folder.path / "m1" / "pool.img").write_text("data")
    (folder.path / "letters").write_text("mine")
    assert folder.remove(["m1", "m2"]) == ["letters"]
    assert [entry.name for entry in folder.path.iterdir()] == ["letters"]


def test_removing_twice_is_fine(folder: Folder) -> None:
    folder.write(SHOP)
    assert folder.remove([]) == []
    assert folder.remove([]) == []
    assert not folder.path.exists()


def test_only_one_at_a_time_and_the_other_is_told(tmp_path: Path) -> None:
    async def twice() -> None:
        async with locked(tmp_path, 5), locked(tmp_path, 0.05):
            pass

    with pytest.raises(Refused) as refused:
        asyncio.run(twice())
    assert refused.value.code == "dev.busy"


def test_whoever_waits_gets_the_folder_that_is_there_and_not_the_one_that_was(tmp_path: Path) -> None:
    root = tmp_path / "root"

    async def remove_while_another_waits() -> bool:
        async def second() -> bool:
            async with locked(root, 5):
                return root.exists()

        async with locked(root, 5):
            waiting = asyncio.create_task(second())
            await asyncio.sleep(0)
            root.rmdir()
        return await waiting

    assert asyncio.run(remove_while_another_waits())
