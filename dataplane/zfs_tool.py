"""The `zfs` program: how it is asked, how its answers are understood, and what its objections mean.

One way for OpenZFS and zfs-fuse: `zfs get -Hp` answers alike on both, while zfs-fuse's `zfs list` has no `-p`.
"""

import asyncio
import errno
import os
import re
from collections.abc import Callable, Container, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol
from weakref import WeakKeyDictionary

from dataplane.dataset import MARK, MARKS, Dataset, Layout, NoRoom, PoolUnavailable, ZfsProblem
from runtime.command import CommandError, CommandFailed, Finished, finish

OPERATION = "operation"
"""The key of the mark that says which operation made a thing."""

DEAD = (errno.ENOTCONN, errno.ECONNABORTED)
"""What a mount answers whose zfs-fuse has died; the second one at the moment of its death."""

_ASKED = (
    *("type", "guid", "origin", "used", "usedbydataset", "referenced", "creation", "compressratio"),
    *(MARK + key for key in MARKS),
)
_OWN = ("local", "received")
_ABSENT = re.compile(r"cannot open '([^']+)': dataset does not exist")

AT_ONCE = 8
"""How many mounts are touched at a time."""

Row = dict[str, str]


MOUNTING = ("mount", "create", "clone")
"""Commands that may mount something. One of them is run at a time: two that reach zfs-fuse together can mix up what
each tells its listener, which then waits for the rest for ever, and every mounted filesystem hangs."""

_turns: "WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]" = WeakKeyDictionary()


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mounts")


class Busy(ZfsProblem):
    """It is in use, or ZFS has not yet noticed that it no longer is."""


class Tool(Protocol):
    """What the datasets need of a `zfs` program."""

    async def read(self, *names: str, below: bool = False) -> dict[str, Dataset]:
        """Those that exist of `names`, and, if asked for, all that is below them.

        One is missing only if ZFS itself says that it does not exist. Raises ZfsProblem.
        """

    async def change(self, *argv: str) -> ZfsProblem | None:
        """Run `zfs ARGV` and return its objection, if any. Neither proves what is: read it back."""

    async def mounted(self, name: str) -> str | None:
        """Where it is mounted in this mount namespace, and can be used. Raises PoolUnavailable for a dead mount."""

    async def own(self, path: str, layout: Layout) -> None:
        """Give the directory the owner and the mode of the layout, and read them back."""

    async def size(self, pool: str) -> tuple[int, int]:
        """Bytes that are used, and that are available."""

    async def quota(self, name: str) -> int | None:
        """The most bytes that a filesystem may refer to."""

    async def left(self, name: str) -> str | None:
        """The token by which a stream goes on that broke while it came to a filesystem. OpenZFS alone has it."""

    async def clear(self, name: str) -> None:
        """Remove the folder of a filesystem that was never mounted and is gone, unless something is in it."""


MEANINGS: tuple[tuple[type[ZfsProblem], tuple[str, ...]], ...] = (
    (
        PoolUnavailable,
        ("failed to initialize", "zfs-fuse daemon", "currently suspended", "not loaded", "/dev/zfs", "no such pool"),
    ),
    (NoRoom, ("out of space", "No space left", "quota exceeded", "greater than available space")),
    (Busy, ("is busy", "resource busy")),
)


def meaning(objection: str) -> ZfsProblem:
    """The kind of problem that ZFS talks about. Its exit code is 1 for every one of them, so only its words tell."""
    for kind, words in MEANINGS:
        if any(word in objection for word in words):
            return kind(objection)
    return ZfsProblem(objection)


@dataclass(frozen=True)
class ZfsTool:
    """The real program. Every command is killed after `within` seconds: a suspended pool never answers.

    Mounts are touched in `threads` of their own: a thread that touches one which hangs cannot be ended, and would be
    missed elsewhere.
    """

    program: str = "zfs"
    within: float = 60.0
    threads: ThreadPoolExecutor = field(default_factory=_threads, compare=False, repr=False)

    async def read(self, *names: str, below: bool = False) -> dict[str, Dataset]:
        """Those that exist of `names`, and all below them if asked for, each with its own marks.

        Marks are asked for by their keys, for zfs-fuse tells no guid to whoever asks for `all`.
        """
        rows = await self._get(",".join(_ASKED), names, below=below)
        where = _first_mounts()
        order = {name: at for at, name in enumerate(rows)}  # zfs tells a filesystem's snapshots by age
        return {name: _dataset(name, rows[name], where, order[name]) for name in sorted(rows)}

    async def change(self, *argv: str) -> ZfsProblem | None:
        """Run `zfs ARGV` and return its objection, if any. Raises PoolUnavailable if it does not answer."""
        try:
            async with _turn() if argv[0] in MOUNTING else nullcontext():
                await self._finish(*argv)
        except PoolUnavailable:
            raise
        except ZfsProblem as problem:
            return problem
        return None

    async def mounted(self, name: str) -> str | None:
        path = _first_mounts().get(name)
        if path:
            await self._files(f"look at {path}", partial(os.statvfs, path))
        return path

    async def own(self, path: str, layout: Layout) -> None:
        await self._files(f"set owner and mode of {path}", partial(_own, path, layout))

    async def size(self, pool: str) -> tuple[int, int]:
        rows = await self._get("used,available", (pool,), below=False)
        if pool not in rows:
            raise PoolUnavailable(f"there is no pool {pool} here; is it imported?")
        return _number(rows[pool], "used"), _number(rows[pool], "available")

    async def quota(self, name: str) -> int | None:
        rows = await self._get("refquota", (name,), below=False)
        return (_number(rows[name], "refquota") if name in rows else None) or None

    async def left(self, name: str) -> str | None:
        rows = await self._get("receive_resume_token", (name,), below=False)
        token = rows[name]["receive_resume_token"] if name in rows else "-"
        return None if token == "-" else token

    async def clear(self, name: str) -> None:
        # ZFS makes such a folder for what is mounted below, and removes only those that something was mounted at.
        parent, _, last = name.rpartition("/")
        rows = await self._get("mountpoint", (parent,), below=False)
        if (place := Path(rows.get(parent, {}).get("mountpoint", "")) / last).is_absolute():
            with suppress(ZfsProblem):
                await self._files(f"remove {place}", place.rmdir)

    async def _get(self, properties: str, names: Sequence[str], *, below: bool) -> dict[str, Row]:
        flags = ("-Hp", *(("-r",) if below else ()))
        told = await self._finish("get", *flags, *_COLUMNS, properties, *names, may_exit=(0, 1))
        absent = _absent(told)
        rows: dict[str, Row] = {}
        for name, key, value, source in _lines(told.out):
            rows.setdefault(name, {}).update({key: value, f"source of {key}": source})
        for name in names:
            if name not in rows and name not in absent:
                raise ZfsProblem(f"cannot read {name}: zfs neither showed it nor said that it does not exist")
        for name, row in rows.items():
            if missing := [key for key in properties.split(",") if key not in row]:
                raise ZfsProblem(f"cannot read {name}: zfs left out its {', '.join(missing)}")
        return {name: row for name, row in rows.items() if row.get("type") in ("filesystem", "snapshot", None)}

    async def _finish(self, *argv: str, may_exit: Sequence[int] = (0,)) -> Finished:
        try:
            return await finish(self.program, *argv, within=self.within, may_exit=may_exit)
        except CommandFailed as failed:
            raise meaning(str(failed)) from None
        except CommandError as silent:
            raise PoolUnavailable(str(silent)) from None

    async def _files(self, purpose: str, work: Callable[[], object]) -> None:
        """Touch files of a dataset off the loop: a dead or suspended filesystem blocks, or says ENOTCONN."""
        try:
            async with asyncio.timeout(self.within):
                await asyncio.get_running_loop().run_in_executor(self.threads, work)
        except TimeoutError:
            raise PoolUnavailable(f"cannot {purpose}: no answer within {self.within:g} seconds") from None
        except OSError as error:
            raise _kind_of(error)(f"cannot {purpose}: {error.strerror}") from None


def _turn() -> asyncio.Lock:
    return _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())


_COLUMNS = ("-o", "name,property,value,source")


def mounts(
    table: Path = Path("/proc/self/mountinfo"), kinds: Container[str] = ("zfs", "fuse.zfs")
) -> list[tuple[str, str]]:
    """Each filesystem of these kinds that is mounted in this mount namespace, and where (proc(5)), oldest first."""
    found: list[tuple[str, str]] = []
    for line in table.read_text().splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, source, *_) = before.split(), after.split()
        if kind in kinds and fields[3] == "/":
            found.append((_plain(source), _plain(fields[4])))
    return found


def _first_mounts() -> dict[str, str]:
    """Where each is mounted; of several places the first, for what comes later is a bind of it."""
    return dict(reversed(mounts()))


def _plain(escaped: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), escaped)


def _absent(told: Finished) -> set[str]:
    """What ZFS says does not exist. Whatever else it complains about makes its whole answer worthless."""
    lines = [line for line in told.error.splitlines() if line.strip()]
    matches = [_ABSENT.fullmatch(line.strip()) for line in lines]
    names = {match[1] for match in matches if match}
    if not all(matches) or (told.code and not names):
        raise meaning(f"zfs could not answer (exit {told.code}): {told.error.strip() or 'it said nothing'}")
    return names


def _lines(out: str) -> Iterable[tuple[str, str, str, str]]:
    if out and not out.endswith("\n"):
        raise ZfsProblem(f"the answer of zfs is cut off: …{out[-60:]!r}")
    for line in out.splitlines():
        name, *middle = line.split("\t")
        if len(middle) < 3:
            raise ZfsProblem(f"the answer of zfs cannot be understood: {line!r}")
        yield name, middle[0], "\t".join(middle[1:-1]), middle[-1]


def _dataset(name: str, row: Row, where: dict[str, str], order: int) -> Dataset:
    alone = _number(row, "used" if "@" in name else "usedbydataset")
    origin = None if row["origin"] in ("-", "") else row["origin"]
    used, refers, created = (_number(row, key) for key in ("used", "referenced", "creation"))
    return Dataset(
        name, row["guid"], origin, _own_marks(row), alone, where.get(name), used, refers, created, order, _ratio(row)
    )


def _own_marks(row: Row) -> Row:
    """What a dataset inherits, or a snapshot shows of its dataset, is not its own."""
    return {key: row[MARK + key] for key in MARKS if row[f"source of {MARK}{key}"] in _OWN}


def _ratio(row: Row) -> float:
    """`24.52x`, as zfs-fuse and OpenZFS say it, the latter also without the x."""
    try:
        return float(row["compressratio"].removesuffix("x"))
    except ValueError:
        raise ZfsProblem(f"zfs says {row['compressratio']!r} where `compressratio` belongs") from None


def _number(row: Row, key: str) -> int:
    try:
        return int(row[key])
    except (KeyError, ValueError):
        raise ZfsProblem(f"zfs says {row.get(key)!r} where the bytes of `{key}` belong") from None


def _own(path: str, layout: Layout) -> None:
    mode = int(layout.mode or "755", 8)
    user, group = (int(part) for part in (layout.owner or "0:0").split(":"))
    os.chown(path, user, group)
    os.chmod(path, mode)
    now = os.stat(path)
    if (now.st_uid, now.st_gid, now.st_mode & 0o7777) != (user, group, mode):
        raise OSError(errno.EIO, f"it is {now.st_uid}:{now.st_gid} {now.st_mode & 0o7777:o} all the same")


def _kind_of(error: OSError) -> type[ZfsProblem]:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoRoom
    return PoolUnavailable if error.errno in DEAD else ZfsProblem
