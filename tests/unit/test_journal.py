"""The story survives a crash at any byte of it."""

import resource
from pathlib import Path

import pytest

from daemon.journal import Answer, Heading, Story, Unwritten, stories, unanswered
from daemon.wire import Event, Success

HEADING = Heading("op-1", {"type": "deploy"}, {"x": 1}, {"shop": "change"}, {}, "me", "now", "0", 1)


def whole(folder: Path) -> Story:
    story = Story.begin(folder, HEADING)
    story.tell("planned")
    story.tell("doing", "0 stop db")
    story.tell("done", "0 stop db")
    story.tell("finished")
    story.conclude(Answer(Success("deployed", {"deploy": 1}, "op-1")))
    return story


def test_what_was_told_is_read_back(tmp_path: Path) -> None:
    story = whole(tmp_path)
    again = Story.read(story.file)
    assert again
    assert (again.heading, again.events, again.answer) == (HEADING, story.events, story.answer)
    assert again.over
    assert again.answer


def test_a_story_is_unanswered_until_its_answer_is_whole(tmp_path: Path) -> None:
    story = whole(tmp_path)
    text = story.file.read_bytes()
    assert [found.operation for found in stories(tmp_path)] == ["op-1"]
    assert list(unanswered(tmp_path)) == []
    story.file.write_bytes(text[:-1])
    assert [found.operation for found in unanswered(tmp_path)] == ["op-1"]


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_torn_last_line_is_cut_and_the_story_goes_on(tmp_path: Path, cut: int) -> None:
    story = whole(tmp_path)
    text = story.file.read_bytes()
    story.file.write_bytes(text[:-cut])
    again = Story.read(story.file)
    assert again
    assert again.answer is None
    again.tell("stuck")
    reread = Story.read(story.file)
    assert reread
    assert reread.events[-1].kind == "stuck"


def test_without_a_whole_heading_nothing_was_done(tmp_path: Path) -> None:
    file = tmp_path / "op-1.jsonl"
    file.write_bytes(b'{"operation": "op-1"')
    assert Story.read(file) is None


def test_seconds_between_two_steps(tmp_path: Path) -> None:
    times = iter(f"2026-01-01T00:00:0{n}.000Z" for n in range(9))
    story = Story.begin(tmp_path, HEADING, lambda: next(times))
    for kind, step in (("doing", "0 stop db"), ("done", "0 stop db"), ("doing", "1 flip"), ("done", "1 flip")):
        story.tell(kind, step)  # type: ignore[arg-type]
    assert story.seconds("stop db", "flip") == 3
    assert story.seconds("stop web", "flip") == 0


def test_what_it_begins_with_is_there_with_the_heading_and_no_other_file(tmp_path: Path) -> None:
    story = Story.begin(tmp_path, HEADING, first=[Event("op-1", "now", "committing")])
    assert list(tmp_path.iterdir()) == [story.file]
    again = Story.read(story.file)
    assert again
    assert again.has("committing")
    assert again.events == story.events


def test_on_a_full_disk_the_story_stays_whole(tmp_path: Path) -> None:
    story = Story.begin(tmp_path, HEADING)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (story.file.stat().st_size + 20, limits[1]))
    try:
        with pytest.raises(Unwritten, match=r"File too large|No space left"):
            story.tell("planned")
        story.note("undoing")
        with pytest.raises(Unwritten):
            story.conclude(Answer(Success("deployed", {}, "op-1")))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ([event.kind for event in story.events], story.behind, story.answer) == (["undoing"], True, None)
    story.tell("failed")
    again = Story.read(story.file)
    assert again
    assert [event.kind for event in again.events] == ["undoing", "failed"]
    assert not story.behind


def test_a_journal_that_cannot_be_understood_does_not_hide_the_others(tmp_path: Path) -> None:
    whole(tmp_path)
    (tmp_path / "op-0.jsonl").write_bytes(b"no heading\n")
    assert [story.operation for story in stories(tmp_path)] == ["op-1"]
    assert (tmp_path / "op-0.jsonl").read_bytes() == b"no heading\n"
