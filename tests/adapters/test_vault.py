"""The vault on a real tmpfs: it outlives whoever opened it, is empty after a boot, and nothing of it is on a disk."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.vault import Vault
from runtime.command import run


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vault with spaces ") as name:
        yield Path(name) / "vault"
        for _ in mounted(Path(name)):
            asyncio.run(run("umount", Path(name) / "vault" / "shown"))


def mounted(folder: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().replace("\\040", " ").splitlines()
    return [line for line in lines if f" {folder}" in line]


def test_it_outlives_the_daemon_and_not_a_boot(folder: Path) -> None:
    async def scenario() -> None:
        first = await Vault.open(folder)
        sealed = {"KEY": first.seal(b"a value")}
        shown = Path(await first.place("web-op-1", "op-1", sealed, "999:998"))
        [line] = mounted(folder)
        assert {"nosuid", "nodev", "noexec"} < set(line.split()[-3].split(","))
        assert (folder / "shown").stat().st_mode & 0o777 == 0o700
        about = (shown / "KEY").stat()
        assert (about.st_uid, about.st_gid, about.st_mode & 0o777) == (999, 998, 0o400)

        second = await Vault.open(folder)
        assert len(mounted(folder)) == 1, "it was mounted once more"
        assert (shown / "KEY").read_bytes() == b"a value"
        assert second.unseal(sealed["KEY"]) == b"a value"

        await run("umount", folder / "shown")
        assert list((folder / "shown").iterdir()) == [], "something was written to the disk"
        third = await Vault.open(folder)
        assert not shown.exists()
        assert await third.place("web-op-1", "op-1", sealed, None) == str(shown)
        assert ((shown / "KEY").read_bytes(), (shown / "KEY").stat().st_mode & 0o777) == (b"a value", 0o444)
        await third.take_back("web-op-1", "op-2")
        assert shown.exists()
        await third.remove("web-op-1")
        assert not shown.exists()

    asyncio.run(scenario())


def test_files_are_there_as_named_and_replaced_as_a_whole(folder: Path) -> None:
    async def scenario() -> None:
        vault = await Vault.open(folder)
        there = Path(await vault.place("web-op-1", "op-1", {"A": vault.seal(b"1"), "B": vault.seal(b"2")}, None))
        assert {file.name: file.read_bytes() for file in there.iterdir()} == {"A": b"1", "B": b"2"}
        assert {file.stat().st_mode & 0o777 for file in there.iterdir()} == {0o444}
        again = Path(await vault.place("web-op-1", "op-1", {"B": vault.seal(b"3")}, "postgres"))
        assert {file.name: file.read_bytes() for file in again.iterdir()} == {"B": b"3"}
        await vault.take_back("web-op-1", "op-2")
        await vault.take_back("web-op", "1")
        await vault.remove("web")
        assert there.exists(), "another operation's was taken back"
        await vault.take_back("web-op-1", "op-1")
        await vault.remove("web-op-1")
        assert not there.exists()

    asyncio.run(scenario())


def test_what_it_lacks_is_told(folder: Path) -> None:
    async def scenario() -> None:
        vault = await Vault.open(folder)
        assert (vault.lacks_key(), vault.lacks_memory()) == ("", "")
        await run("umount", folder / "shown")
        assert "no tmpfs is mounted" in vault.lacks_memory()
        await Vault.open(folder)
        assert vault.lacks_memory() == ""
        (folder / "identity").rename(folder / "elsewhere")
        assert "is gone" in vault.lacks_key()
        other = await Vault.open(folder)
        assert (other.lacks_key(), "another key" in vault.lacks_key()) == ("", True)

    asyncio.run(scenario())
