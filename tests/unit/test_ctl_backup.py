"""Where an export goes: a file has its name once it is whole, and what is no file stays what it is."""

import os
from pathlib import Path

from ctl.backup_files import Target


def written(target: Target, data: bytes) -> None:
    assert os.write(target._file, data) == len(data)


def test_a_file_has_its_name_once_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"of yesterday")
    cut = Target(str(file))
    written(cut, b"of to")
    cut.drop()
    assert (file.read_bytes(), os.listdir(tmp_path)) == (b"of yesterday", ["data"])
    whole = Target(str(file))
    written(whole, b"of today")
    assert file.read_bytes() == b"of yesterday"
    whole.keep()
    assert (file.read_bytes(), os.listdir(tmp_path)) == (b"of today", ["data"])


def test_a_link_goes_on_leading_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "data"
    link.symlink_to("elsewhere/data")
    target = Target(str(link))
    written(target, b"today")
    target.keep()
    assert link.is_symlink()
    assert (tmp_path / "elsewhere" / "data").read_bytes() == b"today"


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for end in (Target.keep, Target.drop):
        target = Target(str(pipe))
        written(target, b"data")
        end(target)
        assert os.read(reader, 10) == b"data"
        assert (pipe.is_fifo(), os.listdir(tmp_path)) == (True, ["pipe"])
    os.close(reader)
