"""What destroys data for good is asked at a terminal, and refused where nobody can be asked."""

import json

from tests.fakes.terminal import ployzctl, terminal

PURGE = ("namespace", "rm", "shop", "--purge", "--socket", "/nowhere")


def test_where_nobody_can_be_asked_it_is_refused_with_the_question() -> None:
    done = ployzctl("--json", *PURGE)
    error = json.loads(done.out)["error"]
    assert (done.code, error["code"], error["state"]) == (3, "question.unanswered", "refused")
    assert "All data of shop is destroyed" in error["why"]


def test_what_is_meant_is_not_asked() -> None:
    for flag in ("--yes", "--preview"):
        done = ployzctl("--json", *PURGE, flag)
        assert json.loads(done.out)["error"]["code"] == "daemon.unreachable"


def test_without_purge_nothing_is_asked() -> None:
    done = ployzctl("--json", "namespace", "rm", "shop", "--socket", "/nowhere")
    assert json.loads(done.out)["error"]["code"] == "daemon.unreachable"


def test_a_person_types_the_name_or_nothing_happens() -> None:
    for typed, code, says in ((b"shp\n", 3, "something else was typed"), (b"shop\n", 1, "cannot reach the daemon")):
        with terminal(*PURGE) as person:
            person.until("Type shop if it is meant")
            person.types(typed)
            assert person.ends() == code
            assert says in person.seen
