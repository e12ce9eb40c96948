"""The journal on a real file system that is full: nothing is half written, and with room again the story goes on."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.journal import Answer, Heading, Story, Unwritten, unanswered
from daemon.wire import Success

HEADING = Heading("op-1", {"type": "deploy"}, {"x": 1}, {"shop": "change"}, {}, "me", "now", "0", 1)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Two pages: one for a journal, and one for whoever fills it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(tmp_path)], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def fill(disk: Path) -> Path:
    """A file of somebody else that leaves no page."""
    file = disk / "others"
    room = os.statvfs(disk)
    file.write_bytes(b"x" * (room.f_bavail * room.f_bsize))
    return file


def told_until_full(story: Story) -> int:
    for count in range(100):
        try:
            story.tell("doing", f"{count} a step with some words")
        except Unwritten:
            return count
    return 100


def test_a_story_goes_on_once_there_is_room_again(disk: Path) -> None:
    story = Story.begin(disk, HEADING)
    others = fill(disk)
    count = told_until_full(story)
    assert 0 < count < 100
    story.note("failed", why="no space left")
    [again] = unanswered(disk)
    assert [event.kind for event in again.events] == ["doing"] * count
    with pytest.raises(Unwritten, match="No space left"):
        story.tell("taken_back")
    others.unlink()
    story.tell("taken_back")
    story.conclude(Answer(Success("deployed", {}, "op-1")))
    whole = Story.read(story.file)
    assert whole
    assert [event.kind for event in whole.events] == ["doing"] * count + ["failed", "taken_back"]
    assert whole.answer


def test_an_operation_does_not_begin_without_room_and_leaves_no_journal(disk: Path) -> None:
    fill(disk)
    with pytest.raises(Unwritten, match="No space left"):
        Story.begin(disk, HEADING)
    assert list(unanswered(disk)) == []
    assert not (disk / "op-1.jsonl").exists()
