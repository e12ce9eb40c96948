"""A volume's data as a stream, over real pipes, programs and ZFS: whole in both forms, cut, damaged, no volume."""

import asyncio
import errno
import os
import socket
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from dataplane import zfs_stream
from dataplane.dataset import Layout, StreamProblem
from dataplane.zfs import Zfs
from dataplane.zfs_stream import New
from runtime.command import ENVIRONMENT, run
from tests.adapters.pools import RealGround, all_below, fresh_root, made, opened_pool, snapped

AWAY = os.urandom(300_000)
"""What compresses badly, so that a cut is in the middle of something."""
NUMBERS = count()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zfs]:
    with opened_pool(tmp_path_factory.mktemp("streams")) as opened:
        yield opened


@pytest.fixture
def ground(pool: Zfs, tmp_path: Path) -> RealGround:
    return fresh_root(pool, tmp_path / "mount", f"s{next(NUMBERS)}")


@pytest.fixture
def filled(ground: RealGround) -> Path:
    """A generation with what is hard to carry: owners, modes, links, a hole, odd names, an empty folder."""
    made(ground, "op-a")
    folder = ground.folder / "shop/data/op-a"
    (folder / "sub").mkdir(mode=0o710)
    (folder / "empty").mkdir()
    (folder / "sub" / "naïve name\n").write_bytes(AWAY)
    (folder / "zero").write_bytes(b"")
    os.link(folder / "zero", folder / "sub" / "same")
    (folder / "link").symlink_to("../out of it")
    (folder / "big").touch()
    os.truncate(folder / "big", 40 << 20)
    os.chown(folder / "sub", 999, 998)
    os.chown(folder, 70, 71)
    (folder / "zero").chmod(0o4640)
    for name in (b"\xff\xfe no text", b"-rf", b"a\\b\tc *?'\"", b"n" * 255):
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:
            file.write(name)
    os.mkfifo(folder / "pipe", 0o620)
    os.mknod(folder / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (folder / "holes").write_bytes(b"begins")
    with (folder / "holes").open("r+b") as file:
        file.seek(10 << 20)
        file.write(b"ends")
    os.utime(folder / "zero", (1, 1_234_567_890))
    os.utime(folder / "link", (2, -86_400), follow_symlinks=False)
    folder.chmod(0o1700)
    return folder


def sent(effect: Callable[[int], object]) -> bytes:
    """What a client gets of something that writes into its connection."""
    ours, theirs = socket.socketpair()
    got: list[bytes] = []

    def fetch() -> None:
        while data := ours.recv(1 << 16):
            got.append(data)

    with ours:
        reader = threading.Thread(target=fetch)
        reader.start()
        effect(theirs.detach())
        reader.join()
    return b"".join(got)


def exported(ground: RealGround, form: str) -> bytes:
    name = f"{ground.zfs.root}/shop/data/op-a"
    if form == "tar":
        return sent(lambda sink: asyncio.run(zfs_stream.pack(str(ground.folder / "shop/data/op-a"), sink)))
    snapshot = snapped(ground, name, "op-x")
    return sent(lambda sink: asyncio.run(zfs_stream.send(snapshot, sink)))


def imported(ground: RealGround, data: bytes, *, killed: bool = False) -> Path:
    """The folder of a generation that was made of these bytes, whose sender then waits, or has been killed."""
    ours, theirs = socket.socketpair()
    name = f"{ground.zfs.root}/trial/data/op-i"

    def deliver() -> None:
        try:
            ours.sendall(data)
            if not killed:
                ours.shutdown(socket.SHUT_WR)
                ours.recv(1)
        except OSError:
            pass
        ours.close()

    sender = threading.Thread(target=deliver)
    sender.start()
    with theirs:
        new = New(name, "op-i", {"state": "candidate"}, Layout())
        try:
            asyncio.run(zfs_stream.receive(ground.zfs, theirs, new))
        finally:
            theirs.shutdown(socket.SHUT_RDWR)
    sender.join()
    return ground.folder / "trial/data/op-i"


def everything(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that there is to know of a tree, by path."""
    found: dict[str, tuple[object, ...]] = {}
    for place in [folder, *sorted(folder.rglob("*"))]:
        about = place.lstat()
        content = os.readlink(place) if place.is_symlink() else place.read_bytes() if place.is_file() else b""
        found[str(place.relative_to(folder))] = (
            *(about.st_mode, about.st_uid, about.st_gid, about.st_mtime_ns // 1000),
            *(content, about.st_nlink, about.st_rdev if stat.S_ISCHR(about.st_mode) else 0),
        )
    return found


@pytest.mark.parametrize("form", ["zfs", "tar"])
def test_what_was_exported_is_imported_byte_for_byte(ground: RealGround, filled: Path, form: str) -> None:
    arrived = imported(ground, exported(ground, form))
    assert everything(arrived) == everything(filled)
    assert (arrived / "big").stat().st_blocks < 1000, "its hole was filled"
    there = asyncio.run(ground.zfs.look(f"{ground.zfs.root}/trial/data/op-i"))
    assert there
    assert there.marks == {"operation": "op-i", "state": "candidate"}
    assert "trial/data/op-i@op-i" not in all_below(ground)


def keeps_attributes(folder: Path) -> bool:
    """OpenZFS does, zfs-fuse has none at all."""
    try:
        os.setxattr(folder, "user.try", b"1")
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return False
    os.removexattr(folder, "user.try")
    return True


def test_extended_attributes_come_along_or_it_is_said_that_they_cannot(ground: RealGround, tmp_path: Path) -> None:
    """What is packed lies on the tests' own filesystem, which has them."""
    (tmp_path / "in").mkdir()
    row = tmp_path / "in" / "row"
    row.write_bytes(b"hello")
    os.setxattr(row, "user.note", b"\0bytes\xff")
    made(ground, "op-a")
    data = sent(lambda sink: asyncio.run(zfs_stream.pack(str(tmp_path / "in"), sink)))
    if keeps_attributes(ground.folder / "shop/data/op-a"):
        assert os.getxattr(imported(ground, data) / "row", "user.note") == b"\0bytes\xff"
        return
    with pytest.raises(StreamProblem, match=r"keeps no extended attributes, and 1 came with it \(user.note of ./row"):
        imported(ground, data)
    asyncio.run(ground.zfs.take_back(f"{ground.zfs.root}/trial/data/op-i", "op-i"))
    os.removexattr(row, "user.note")
    plain = sent(lambda sink: asyncio.run(zfs_stream.pack(str(tmp_path / "in"), sink)))
    assert (imported(ground, plain) / "row").read_bytes() == b"hello"


@pytest.mark.parametrize("form", ["zfs", "tar"])
def test_it_can_be_read_without_us(ground: RealGround, filled: Path, form: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(exported(ground, form))
    if form == "tar":
        (tmp_path / "out").mkdir()
        asyncio.run(run("tar", "--zstd", "-xpf", file, "-C", tmp_path / "out"))
        assert everything(tmp_path / "out") == everything(filled)
        return
    plain = asyncio.run(run("zstd", "-dq", file, "-o", tmp_path / "plain"))
    asyncio.run(run("sh", "-c", f"zfs receive {ground.zfs.root}/hand < {tmp_path / 'plain'}"))
    assert plain == ""
    assert everything(ground.folder / "hand") == everything(filled)


def test_no_file_of_a_tar_is_one_with_holes(ground: RealGround, filled: Path, tmp_path: Path) -> None:
    """Tar takes every compressed file for one, and writes those by 512 bytes at a time."""
    (tmp_path / "f").write_bytes(exported(ground, "tar"))
    asyncio.run(run("zstd", "-dq", tmp_path / "f", "-o", tmp_path / "plain"))
    with tarfile.open(tmp_path / "plain") as tar:
        assert {member.name: member.issparse() for member in tar}["./big"] is False


def test_who_goes_away_before_all_of_it_is_told_so(ground: RealGround, filled: Path) -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with pytest.raises(StreamProblem, match="whoever was to get it went away"):
        asyncio.run(zfs_stream.pack(str(filled), theirs.detach()))


LATE = """#!/bin/sh
exec 0<&-
sleep 0.5
kill -PIPE $$
"""
"""A zstd that reads no more, and ends for want of a reader only when whoever wrote to it has ended for that too."""


def test_who_went_away_counts_whichever_program_tells_first(
    ground: RealGround, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = snapped(ground, f"{ground.zfs.root}/shop/data/op-a", "op-x")
    (tmp_path / "zstd").write_text(LATE)
    (tmp_path / "zstd").chmod(0o700)
    monkeypatch.setitem(ENVIRONMENT, "PATH", f"{tmp_path}:{ENVIRONMENT['PATH']}")
    for effort in (partial(zfs_stream.pack, str(filled)), partial(zfs_stream.send, snapshot)):
        with pytest.raises(StreamProblem, match="whoever was to get it went away"):
            asyncio.run(effort(os.open(os.devnull, os.O_WRONLY)))


@pytest.mark.parametrize("packed", ["plain", "gzip"])
def test_a_tar_of_anybody_is_told_by_its_content(ground: RealGround, tmp_path: Path, packed: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "row").write_bytes(b"hello")
    asyncio.run(run("tar", "-cf" if packed == "plain" else "-czf", tmp_path / "t", "-C", tmp_path / "in", "row"))
    assert (imported(ground, (tmp_path / "t").read_bytes()) / "row").read_bytes() == b"hello"


@pytest.mark.parametrize("form", ["zfs", "tar"])
@pytest.mark.parametrize("part", [0.0, 0.0001, 0.3, 0.9999])
def test_one_that_is_cut_off_is_refused(ground: RealGround, filled: Path, form: str, part: float) -> None:
    data = exported(ground, form)
    with pytest.raises(StreamProblem):
        imported(ground, data[: int(len(data) * part)])


@pytest.mark.parametrize("form", ["zfs", "tar"])
def test_one_that_is_damaged_is_refused(ground: RealGround, filled: Path, form: str) -> None:
    data = bytearray(exported(ground, form))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(StreamProblem):
        imported(ground, bytes(data))


def test_a_damaged_zfs_stream_that_nothing_packs_is_refused(ground: RealGround, filled: Path, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(exported(ground, "zfs"))
    asyncio.run(run("zstd", "-dq", tmp_path / "f", "-o", tmp_path / "plain"))
    data = bytearray((tmp_path / "plain").read_bytes())
    data[len(data) // 2] ^= 0x10
    with pytest.raises(StreamProblem):
        imported(ground, bytes(data))


def test_a_plain_tar_whose_sender_was_killed_between_two_files_is_refused(ground: RealGround, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"x" * 100)
    asyncio.run(run("tar", "-cf", tmp_path / "t", "-C", tmp_path, "one", "two"))
    with pytest.raises(StreamProblem, match="cut off"):
        imported(ground, (tmp_path / "t").read_bytes()[:1024], killed=True)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x28\xb5\x2f\xfd", bytes(5000), AWAY], ids=len)
def test_what_is_no_volume_is_refused(ground: RealGround, data: bytes) -> None:
    before = all_below(ground)
    with pytest.raises(StreamProblem):
        imported(ground, data)
    asyncio.run(ground.zfs.take_back(f"{ground.zfs.root}/trial/data/op-i", "op-i"))
    assert all_below(ground) == before


def test_an_incremental_stream_is_refused(ground: RealGround, filled: Path) -> None:
    name = f"{ground.zfs.root}/shop/data/op-a"
    snapped(ground, name, "op-x")
    (filled / "more").write_bytes(b"more")
    snapped(ground, name, "op-y")
    file = ground.folder / "increment"
    asyncio.run(run("sh", "-c", f"zfs send -i {name}@op-x {name}@op-y > {file}"))
    with pytest.raises(StreamProblem, match="incremental"):
        imported(ground, file.read_bytes())


def test_a_client_that_goes_away_ends_an_export(ground: RealGround, filled: Path) -> None:
    snapshot = snapped(ground, f"{ground.zfs.root}/shop/data/op-a", "op-x")
    ours, theirs = socket.socketpair()
    ours.close()
    with pytest.raises(StreamProblem):
        asyncio.run(zfs_stream.send(snapshot, theirs.detach()))
