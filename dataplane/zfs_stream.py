"""Data as a stream: a snapshot or a folder sent to a descriptor, and a generation made of what a descriptor brings.

The bytes go from program to program through descriptors, none of them through Python. What comes is told by its
content: zstd or gzip around it, and a ZFS stream or a tar inside, whose first bytes are looked at (MSG_PEEK) and
left there.
"""

import asyncio
import errno
import os
import re
import select
import signal
import socket
import struct
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from dataplane.dataset import Layout, NoRoom, StreamProblem, ZfsProblem
from dataplane.zfs import Zfs
from dataplane.zfs_tool import meaning
from runtime.command import CommandError, CommandFailed, flow

UNPACK: Mapping[bytes, tuple[str, ...]] = {
    b"\x28\xb5\x2f\xfd": ("zstd", "--quiet", "--decompress", "--stdout"),
    b"\x1f\x8b": ("gzip", "--decompress", "--stdout"),
}
"""What takes off the wrapping that begins with these bytes."""

PACK = ("zstd", "--quiet", "--stdout", "--check", "-T0", "-3")
TAR = (
    *("tar", "--blocking-factor=512", "--numeric-owner"),
    *("--xattrs", "--xattrs-include=*", "--xattrs-exclude=security.selinux"),
)
"""Labels of SELinux are the machine's own, not the data's. A record is also what is read or written of a file at once:
with tar's own 10 KiB, zfs-fuse takes three times as long as with 256."""
ACLS = ("--acls",)
LOST = re.compile(r"Cannot set '(.+)' extended attribute for file '(.+)'")
"""How tar says that it left something out; it exits with 0 all the same."""
RECORD = 312
"""Bytes of the first record of a ZFS stream (dmu_replay_record); a tar has at least 1024."""
ZFS_MAGIC = 0x2F5BACBAC
RESUMING = 1 << 22
"""In drr_versioninfo: bit 20 of the features (DMU_BACKUP_FEATURE_RESUMING), which begin at its bit 2."""
SILENCE = 300.0
"""Seconds that the first bytes may take."""


@dataclass(frozen=True)
class New:
    """A generation that is to be made: its name, by which operation, its marks, and its layout."""

    name: str
    by: str
    marks: Mapping[str, str]
    layout: Layout


@dataclass(frozen=True)
class Beginning:
    """The first bytes of what came, unpacked: a ZFS stream of snapshot `guid` (since `base`, 0: whole), or a tar. A
    stream that `resumes` is the rest of one that broke."""

    guid: str = ""
    base: int = 0
    resumes: bool = False

    @property
    def is_tar(self) -> bool:
        return not self.guid


async def send(snapshot: str, sink: int) -> None:
    """Write the snapshot as a ZFS stream, compressed. Takes over `sink`. Raises ZfsProblem."""
    reading, writing = os.pipe()
    await _together(flow("zfs", "send", snapshot, sink=writing), flow(*PACK, source=reading, sink=sink))


async def pack(path: str, sink: int) -> None:
    """Write the folder as a tar, compressed: owners, modes, links, attributes. Takes over `sink`.

    Holes are written as the zeros that they read as, and ZFS makes holes of those again where it compresses. Tar's own
    way (--sparse) takes every file that is compressed for one with holes, and makes such a file by 512 bytes at a time.
    """
    reading, writing = os.pipe()
    words = (*TAR, *ACLS, "--create", "--format=posix", "--directory", path, ".")
    await _together(flow(*words, sink=writing), flow(*PACK, source=reading, sink=sink))


async def receive(zfs: Zfs, source: socket.socket, new: New) -> None:
    """Make a generation of what comes from `source`, a connected stream socket whose other end stays open.

    Raises StreamProblem unless all of it came: whoever has sent everything shuts its end down for writing and waits;
    whoever was cut off is gone.
    """
    first = await peek(source, 4)
    wrapping = next((words for magic, words in UNPACK.items() if first.startswith(magic)), None)
    if wrapping is None:
        await _together(_unpacked(zfs, source.dup(), new))
    else:
        ours, theirs = socket.socketpair()
        unpacking = flow(*wrapping, source=os.dup(source.fileno()), sink=theirs.detach())
        await _together(unpacking, _unpacked(zfs, ours, new))
    if _is_gone(source):
        raise StreamProblem("what was sent is cut off: the sender went away before it had said that it was all")


async def _unpacked(zfs: Zfs, source: socket.socket, new: New) -> None:
    with source:
        beginning = told(await peek(source, RECORD))
        if beginning.base:
            raise StreamProblem("it is an incremental ZFS stream, of which no volume can be made alone")
        if beginning.is_tar:
            await _extract(zfs, source.detach(), new)
        else:
            await _replay(zfs, source.detach(), new, beginning.guid)


async def _extract(zfs: Zfs, source: int, new: New) -> None:
    try:
        await zfs.create(new.name, new.by, new.marks, new.layout)
        path = await zfs.mount(new.name)
    except BaseException:
        os.close(source)
        raise
    # Where there are none, tar would complain about every file, and could not tell which ones had some.
    acls = ACLS if await asyncio.to_thread(_keeps_acls, path) else ()
    words = (*TAR, *acls, "--extract", "--same-permissions", "--same-owner", "--directory", path)
    if lost := LOST.findall(await flow(*words, source=source)):
        (name, file), count = lost[0], len(lost)
        why = f"this machine's ZFS keeps no extended attributes, and {count} came with it ({name} of {file}, …)"
        raise StreamProblem(f"{why}; pack it without them: tar --no-xattrs")


def _keeps_acls(path: str) -> bool:
    """zfs-fuse has neither these nor any other attributes."""
    try:
        os.getxattr(path, "system.posix_acl_access")
    except OSError as error:
        return error.errno != errno.EOPNOTSUPP
    return True


async def _replay(zfs: Zfs, source: int, new: New, guid: str) -> None:
    snapshot = f"{new.name}@{new.by}"
    try:
        await zfs.make_parents(new.name, new.by)
    except BaseException:
        os.close(source)
        raise
    await flow("zfs", "receive", "-u", snapshot, source=source)
    received = await zfs.look(snapshot)
    if received is None or received.guid != guid:
        arrived = received.guid if received else "nothing"
        raise StreamProblem(f"what arrived is {arrived}, not the snapshot {guid} that the stream begins with")
    await zfs.adopt(new.name, new.by, new.marks, new.layout)


def told(first: bytes) -> Beginning:
    """What begins so. Raises StreamProblem if it is neither a ZFS stream nor a tar."""
    for order in "<>":
        if len(first) >= RECORD:
            magic, features, guid, base = struct.unpack(f"{order}8xQQ16xQQ", first[:56])
            if magic == ZFS_MAGIC:
                return Beginning(str(guid), base, bool(features & RESUMING))
    if first[257:262] == b"ustar":
        return Beginning()
    if not first:
        raise StreamProblem("it is empty")
    raise StreamProblem("it is neither a ZFS stream nor a tar, nor one of them packed by zstd or gzip")


async def peek(source: socket.socket, count: int) -> bytes:
    """The first bytes of what comes, which stay there to be read; fewer only if no more will come."""
    return await asyncio.to_thread(_peek_now, source, count)


def _peek_now(source: socket.socket, count: int) -> bytes:
    """A peek takes what is there; that no more will come is told by the other end, shut down or closed."""
    until = time.monotonic() + SILENCE
    while time.monotonic() < until:
        ended = bool(_events(source, select.POLLRDHUP, wait=0.0))
        try:
            first = source.recv(count, socket.MSG_PEEK) if _events(source, select.POLLIN, wait=1.0) else b""
        except OSError as failure:
            raise StreamProblem(f"the connection broke: {failure.strerror}") from None
        if len(first) == count or ended:
            return first
        time.sleep(0.005)
    raise StreamProblem(f"nothing came within {SILENCE:g} seconds")


def _events(source: socket.socket, wanted: int, wait: float) -> int:
    """Which of these poll(2) tells of, or that the other end is gone."""
    asked = select.poll()
    asked.register(source, wanted)
    return sum(event for _, event in asked.poll(wait * 1000))


def _is_gone(source: socket.socket) -> bool:
    """Whether the other end is closed altogether, not only shut down for writing."""
    return bool(_events(source, 0, wait=0.0) & (select.POLLHUP | select.POLLERR))


async def _together(*stages: Coroutine[Any, Any, object]) -> None:
    """All of them, in the order of the bytes, to their ends; when one fails the others are ended, and that counts.

    One that nobody reads any more only tells that a later one ended: what that one says is waited for.
    """
    unread: dict[int, CommandFailed] = {}

    async def ending(place: int, stage: Coroutine[Any, Any, object]) -> None:
        try:
            await stage
        except CommandFailed as failure:
            if not _is_unread(failure):
                raise
            unread[place] = failure

    try:
        async with asyncio.TaskGroup() as group:
            for place, stage in enumerate(stages):
                group.create_task(ending(place, stage))
    except BaseExceptionGroup as failures:
        raise problem(failures.exceptions[0]) from None
    if unread:
        raise problem(unread[max(unread)])


def _is_unread(failure: CommandFailed) -> bool:
    """Whether it ended because whoever read what it wrote was gone."""
    return failure.code == -signal.SIGPIPE or os.strerror(errno.EPIPE) in failure.error


def problem(failure: BaseException) -> BaseException:
    """A stage's failure as the problem that it means: of the pool, of the room, or of what came."""
    if isinstance(failure, CommandFailed) and failure.argv == PACK and _is_unread(failure):
        return StreamProblem("whoever was to get it went away before it was all")
    if isinstance(failure, CommandFailed):
        means = meaning(str(failure))
        ours = isinstance(means, NoRoom) or failure.argv[:2] == ("zfs", "send")
        return means if ours else StreamProblem(str(failure))
    return ZfsProblem(str(failure)) if isinstance(failure, CommandError) else failure
