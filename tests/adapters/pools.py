"""Grounds for the ZFS suites: a fake one and a real one, and what tests do there in one word."""

import asyncio
import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import pytest

from dataplane.dataset import Dataset, Layout, NoRoom, ZfsProblem
from dataplane.place import NAME
from dataplane.pool import PoolWish, fuse, open_pool
from dataplane.zfs import Zfs
from dataplane.zfs_tool import ZfsTool, mounts
from runtime.command import run
from tests.fakes.zfs import FakeZfs

SIZE = 192 * 1024**2
GROUNDS = ["fake", "fake-several", "real"]
NOTHING = Layout()


class Ground(Protocol):
    """A fresh root, and what instances, strangers and cut operations do below it."""

    @property
    def zfs(self) -> Zfs: ...

    def write(self, dataset: str, key: str, value: bytes) -> None:
        """Write a file into a mounted dataset. Raises NoRoom."""

    def read(self, dataset: str, key: str) -> bytes | None:
        """Read a file of a mounted dataset; None if there is none."""

    def owner(self, dataset: str) -> tuple[str, str]:
        """`uid:gid` and octal mode of the root of a mounted dataset."""

    def folders(self) -> set[str]:
        """Those below the root's, as names of datasets."""

    @contextmanager
    def in_use(self, dataset: str) -> Iterator[None]:
        """Keep a mounted dataset busy."""

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no room in the pool, meanwhile."""


@dataclass
class FakeGround:
    fake: FakeZfs

    @property
    def zfs(self) -> Zfs:
        return self.fake.datasets

    def write(self, dataset: str, key: str, value: bytes) -> None:
        self.fake.write(dataset, key, value)

    def read(self, dataset: str, key: str) -> bytes | None:
        return self.fake.read_file(dataset, key)

    def owner(self, dataset: str) -> tuple[str, str]:
        return self.fake.kept[dataset].owner, self.fake.kept[dataset].mode

    def folders(self) -> set[str]:
        return self.fake.folders

    @contextmanager
    def in_use(self, dataset: str) -> Iterator[None]:
        self.fake.busy.add(dataset)
        yield
        self.fake.busy.discard(dataset)

    @contextmanager
    def full(self) -> Iterator[None]:
        self.fake.full = True
        yield
        self.fake.full = False


@dataclass
class RealGround:
    zfs: Zfs
    folder: Path

    def write(self, dataset: str, key: str, value: bytes) -> None:
        try:
            self._place(dataset, key).write_bytes(value)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoRoom(str(error)) from None
            raise

    def read(self, dataset: str, key: str) -> bytes | None:
        place = self._place(dataset, key)
        return place.read_bytes() if place.exists() else None

    def owner(self, dataset: str) -> tuple[str, str]:
        found = self._place(dataset, ".").stat()
        return f"{found.st_uid}:{found.st_gid}", f"{found.st_mode & 0o7777:o}"

    def folders(self) -> set[str]:
        return {f"{self.zfs.root}/{one.relative_to(self.folder)}" for one in self.folder.rglob("*") if one.is_dir()}

    @contextmanager
    def in_use(self, dataset: str) -> Iterator[None]:
        with self._place(dataset, "in-use").open("wb"):
            yield

    @contextmanager
    def full(self) -> Iterator[None]:
        """A stranger writes until nothing goes any more, however little.

        What was destroyed before is only free some transaction groups later, and each destroyed snapshot ends one.
        """
        filler, place = f"{self.zfs.root}/filler", self.folder / "filler"
        rounds = [f"{filler}@{number}" for number in range(3)]
        act(self.zfs, "create", "-o", "compression=off", filler)
        for snapshot in rounds:
            act(self.zfs, "snapshot", snapshot)
        try:
            for snapshot in rounds:
                act(self.zfs, "destroy", snapshot)
                _write_until_full(place / "filler")
            yield
        finally:
            (place / "filler").unlink()
            asyncio.run(self._give_back(filler))

    async def _give_back(self, filler: str) -> None:
        """It is busy for some moments, and what is freed is free some moments later."""
        async with asyncio.timeout(30):
            while await self.zfs.tool.change("destroy", filler):
                await asyncio.sleep(0.05)
            while (space := await self.zfs.space()).used > space.size / 2:
                await asyncio.sleep(0.05)

    def _place(self, dataset: str, key: str) -> Path:
        return self.folder / dataset.removeprefix(f"{self.zfs.root}/") / key


def _write_until_full(path: Path) -> None:
    """Nothing of 512 bytes goes any more, for a second."""
    last, size = time.monotonic(), 1 << 20
    with path.open("ab", buffering=0) as file:
        while time.monotonic() < last + 1:
            try:
                file.write(os.urandom(size))
                os.fsync(file.fileno())
                last = time.monotonic()
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size = max(size // 2, 512)


def require_sandbox() -> None:
    """A zfs-fuse outside of it would open, or be mistaken for, the one of this host."""
    init = Path("/proc/1/comm").read_text().strip()
    assert init == "tini", "tests of real parts only run inside dev/sandbox"


@contextmanager
def opened_pool(folder: Path, name: str = "test") -> Iterator[Zfs]:
    """A real file-backed pool, gone when left, and so is the zfs-fuse that was started for it."""
    require_sandbox()
    wish = PoolWish(name, folder, size=SIZE)
    yield asyncio.run(open_pool(wish))
    clear(wish)


def kill(wish: PoolWish) -> None:
    """End zfs-fuse as a crash does; asked to end, it takes four seconds."""
    if pid := fuse(wish.folder).running():
        os.kill(pid, signal.SIGKILL)
        asyncio.run(_gone(pid))


async def _gone(pid: int) -> None:
    """Not even a zombie is left: one may have threads that still have the pool open."""
    async with asyncio.timeout(20):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)


def clear(wish: PoolWish) -> None:
    """End zfs-fuse, and leave no dead mount behind."""
    kill(wish)
    ours = [path for name, path in mounts() if name.startswith(f"{wish.pool}/")]
    for path in [*ours, *(path for name, path in mounts(kinds=("tmpfs",)) if name == NAME)]:
        asyncio.run(run("umount", "--lazy", path))


def fresh_root(pool: Zfs, folder: Path, name: str) -> RealGround:
    """A root of its own in a pool that others use too."""
    root = f"{pool.root}/{name}"
    act(pool, "create", "-o", f"mountpoint={folder}", "-o", "canmount=off", root)
    tool = ZfsTool(within=30.0)
    return RealGround(replace(pool, root=root, tool=tool, patience=8.0), folder)


def act(zfs: Zfs, *argv: str) -> None:
    """Do what a stranger does, or what an operation did before it was cut: `zfs ARGV`, past the adapter."""
    objection = asyncio.run(_act(zfs, argv))
    assert objection is None, objection


async def _act(zfs: Zfs, argv: tuple[str, ...]) -> ZfsProblem | None:
    return await zfs.tool.change(*argv)


def ground_of(request: pytest.FixtureRequest, folder: Path, name: str) -> Ground:
    """The ground that the test is parametrised with; a real one lies in the module's `pool`."""
    if request.param == "real":
        return fresh_root(request.getfixturevalue("pool"), folder, name)
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
