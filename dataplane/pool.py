"""The pool that everything lies in: a named one, or a file of our own, with zfs-fuse where the kernel has no ZFS.

A pool is never forced (`-f`), and never made over something that was there.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dataplane.dataset import NoRoom, PoolUnavailable, ZfsProblem
from dataplane.place import ensure_place
from dataplane.process import Process, ProcessDied, is_ending
from dataplane.zfs import Zfs, room_of
from dataplane.zfs_abilities import ask_abilities
from dataplane.zfs_tool import ZfsTool, meaning
from runtime.command import CommandError, CommandFailed, run

SIZE = 20 * 1024**3
"""Bytes of a file-backed pool that nobody gave a size. The file is sparse: it takes up what is written."""

ANSWERS_WITHIN = 30.0
"""Seconds that a zfs-fuse just started may take until it answers."""

FUSE_FOLDERS = ("/var/run/zfs", "/var/lock/zfs", "/var/lib/zfs")
"""Where zfs-fuse has its socket, its lock and its cache; it does not make these folders itself."""


@dataclass(frozen=True)
class PoolWish:
    """Which pool is wanted: `dataset` (`POOL/DATASET`) if named, else a file of `size` bytes in `folder`.

    `machine` names the file's pool; generations are mounted below `folder/volumes` (absolute).
    """

    machine: str
    folder: Path
    dataset: str | None = None
    size: int = SIZE

    @property
    def image(self) -> Path:
        return self.folder / "pool.img"

    @property
    def pool(self) -> str:
        return self.dataset.partition("/")[0] if self.dataset else f"ployz-{self.machine}"

    @property
    def root(self) -> str:
        return self.dataset or f"{self.pool}/ployz"


async def open_pool(wish: PoolWish) -> Zfs:
    """The datasets below the wished root, ready to be used: starts zfs-fuse and imports or creates what is missing.

    Raises PoolUnavailable if what exists cannot be opened (it is left untouched), ZfsProblem if it cannot be used.
    """
    wish.folder.mkdir(parents=True, exist_ok=True)
    await _ensure_zfs(wish.folder)
    if not await _imported(wish.pool):
        await _open(wish)
    await _require_usable(wish)
    await _ensure_root(wish)
    await ensure_place(await place_of(wish))
    zfs = Zfs(wish.root, await ask_abilities(wish.pool), ZfsTool())
    await zfs.keep_room()
    return zfs


def fuse(folder: Path) -> Process:
    """The zfs-fuse of the machine whose data is in `folder`; its command line names that folder."""
    argv = ("zfs-fuse", "--no-daemon", "--no-kstat-mount", "--pidfile", str(folder / "zfs-fuse.pid"))
    return Process("zfs-fuse", argv, folder)


async def _ensure_zfs(folder: Path) -> None:
    """Whoever answers is adopted. Else the kernel has no ZFS, and zfs-fuse is started, at most once."""
    process = fuse(folder)
    if not process.running():
        if await _answers():
            return
        if Path("/dev/zfs").exists():
            raise PoolUnavailable("the kernel has ZFS (/dev/zfs), but `zpool list` fails; try `modprobe zfs`")
        for place in FUSE_FOLDERS:
            Path(place).mkdir(parents=True, exist_ok=True)
    try:
        await process.ensure()
        async with asyncio.timeout(ANSWERS_WITHIN):
            while not await _answers():
                process.require_alive()
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise PoolUnavailable(f"zfs-fuse runs, but gave no answer for {ANSWERS_WITHIN:g} seconds") from None
    except ProcessDied as died:
        raise PoolUnavailable(f"zfs-fuse ended right after its start: {died.log or 'it said nothing'}") from None
    except CommandError as error:
        raise PoolUnavailable(f"cannot start zfs-fuse: {error}; try `apt-get install zfs-fuse`") from None


async def _answers() -> bool:
    try:
        await run("zpool", "list", "-H", "-o", "name", within=10.0)
    except CommandFailed:
        return False
    except CommandError as error:
        raise PoolUnavailable(
            f"ZFS does not answer: {error}; try `apt-get install zfs-fuse`, or zfsutils-linux"
        ) from None
    return True


async def _imported(pool: str) -> bool:
    return pool in (await _zpool("list", "-H", "-o", "name")).split("\n")


async def _open(wish: PoolWish) -> None:
    if wish.dataset:
        raise PoolUnavailable(f"there is no pool {wish.pool} here; try `zpool import {wish.pool}`")
    if not wish.image.exists() or _is_blank(wish.image):
        await _create(wish)
    else:
        await _import(wish)


def _is_blank(image: Path) -> bool:
    """Whether nothing was ever written to it: a creation was cut off before it began."""
    return image.stat().st_blocks == 0


async def _create(wish: PoolWish) -> None:
    """Without a cache file, so that no other zfs-fuse of this host opens it too: two would destroy it."""
    with wish.image.open("ab") as file:
        file.truncate(wish.size)
    wish.image.chmod(0o600)
    options = ("-m", "none", "-o", "cachefile=none", "-O", "compression=on", "-O", "atime=off")
    await _zpool("create", *options, wish.pool, str(wish.image))


async def _import(wish: PoolWish) -> None:
    await _require_unheld(wish.image)
    try:
        await _zpool("import", "-d", str(wish.folder), "-o", "cachefile=none", wish.pool)
    except ZfsProblem as problem:
        what = f"cannot open the pool {wish.pool} in {wish.image}, which was left untouched: {problem}"
        raise PoolUnavailable(f"{what}; try `zpool import -d {wish.folder}` to see what is there") from None


async def _require_unheld(image: Path) -> None:
    """One pool in two zfs-fuse destroys itself, and neither of them looks. One that is dying is waited for."""
    holders: list[int] = []
    try:
        async with asyncio.timeout(ANSWERS_WITHIN):
            while holders := list(_holders(image)):
                if alive := [pid for pid in holders if not is_ending(pid)]:
                    raise PoolUnavailable(f"cannot open the pool in {image}: process {alive[0]} has it open")
                await asyncio.sleep(0.02)
    except TimeoutError:
        why = f"process {holders[0]} was killed, and has it open still"
        raise PoolUnavailable(f"cannot open the pool in {image}: {why}") from None


def _holders(image: Path) -> Iterator[int]:
    """Processes that have the file open. A killed one still has, by a thread, while it is a zombie itself."""
    file = image.stat()
    for folder in Path("/proc").glob("[0-9]*/task/[0-9]*/fd"):
        try:
            if any(os.path.samestat(file, handle.stat()) for handle in folder.iterdir()):
                yield int(folder.parts[2])
        except OSError:
            continue  # it ended while we looked


async def _require_usable(wish: PoolWish) -> None:
    health = (await _zpool("list", "-H", "-o", "health", wish.pool)).strip()
    if health not in ("ONLINE", "DEGRADED"):
        raise PoolUnavailable(f"the pool {wish.pool} is {health}; try `zpool status {wish.pool}`")
    if not wish.dataset and f"{wish.image} " not in await _zpool("status", wish.pool):
        raise PoolUnavailable(f"there is a pool {wish.pool} that is not the one in {wish.image}; was that one moved?")


async def _ensure_root(wish: PoolWish) -> None:
    await _ensure(wish.root, f"mountpoint={wish.folder / 'volumes'}")
    with suppress(NoRoom):  # a pool that was filled without us: it can be used all the same
        await _ensure(room_of(wish.root), "mountpoint=none")


async def _ensure(name: str, mountpoint: str) -> None:
    tool = ZfsTool()
    if name not in await tool.read(name):
        objection = await tool.change("create", "-o", mountpoint, "-o", "canmount=off", name)
        if name not in await tool.read(name):
            raise objection or ZfsProblem(f"cannot create {name}: zfs says it did, but it does not exist")


async def place_of(wish: PoolWish) -> Path:
    """Where generations are mounted. Raises ZfsProblem if that is nowhere."""
    mountpoint = (await run("zfs", "get", "-H", "-o", "value", "mountpoint", wish.root)).strip()
    if not mountpoint.startswith("/"):
        hint = f"zfs set mountpoint={wish.folder / 'volumes'} {wish.root}"
        raise ZfsProblem(f"cannot use {wish.root}: its mountpoint is {mountpoint}; try `{hint}`")
    return Path(mountpoint)


async def _zpool(*argv: str) -> str:
    try:
        return await run("zpool", *argv)
    except CommandFailed as failed:
        raise meaning(str(failed)) from None
    except CommandError as silent:
        raise PoolUnavailable(str(silent)) from None
