"""What destroys data for good is asked at a terminal, and refused where nobody can be asked."""

import json
from pathlib import Path

import pytest

from tests.fakes.terminal import ployzctl, terminal

PURGE = ("namespace", "rm", "shop", "--purge", "--socket", "/nowhere")


def test_where_nobody_can_be_asked_it_is_refused_with_the_question() -> None:
    done = ployzctl("--json", *PURGE)
    error = json.loads(done.out)["error"]
    assert (done.code, error["code"], error["state"]) == (3, "question.unanswered", "refused")
    assert "All data and secrets of shop are destroyed" in error["why"]


def test_what_is_meant_is_not_asked() -> None:
    for flag in ("--yes", "--preview"):
        done = ployzctl("--json", *PURGE, flag)
        assert json.loads(done.out)["error"]["code"] == "daemon.unreachable"


def test_without_purge_nothing_is_asked() -> None:
    done = ployzctl("--json", "namespace", "rm", "shop", "--socket", "/nowhere")
    assert json.loads(done.out)["error"]["code"] == "daemon.unreachable"


@pytest.mark.parametrize(
    ("typed", "code", "says"), [(b"shp\n", 3, "question.differs"), (b"shop\n", 1, "daemon.unreachable")]
)
def test_a_person_types_the_name_or_nothing_happens(typed: bytes, code: int, says: str) -> None:
    with terminal("--json", *PURGE) as person:
        person.until("Type shop if it is meant")
        person.types(typed)
        assert person.ends() == code
        assert says in person.seen


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [(b"n\n", 3, "question.no"), (b"\n", 3, "question.no"), (b"y\n", 1, "daemon.unreachable")],
)
def test_a_person_says_yes_or_nothing_happens(typed: bytes, code: int, says: str) -> None:
    with terminal("--json", "volume", "purge", "shop/data@first", "--socket", "/nowhere") as person:
        person.until("Nothing brings it back")
        person.types(typed)
        assert person.ends() == code
        assert says in person.seen


def test_an_export_needs_a_place_that_can_be_written(tmp_path: Path) -> None:
    words = ("volume", "export", "shop/data", "--socket", "/nowhere")
    done = ployzctl("--json", *words, "-o", str(tmp_path / "nowhere" / "data.zst"))
    assert (done.code, json.loads(done.out)["error"]["code"]) == (3, "export.unwritable")
