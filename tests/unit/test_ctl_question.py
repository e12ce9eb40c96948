"""What destroys data for good is asked at a terminal, and refused where nobody can be asked."""

import json
from pathlib import Path

import pytest
from msgspec import to_builtins

from daemon import wire
from tests.fakes.ployzd import Scene, answering, daemon
from tests.fakes.terminal import ployzctl, terminal

FORCE = ("--json", "machine", "rm", "m2", "--force", "--socket")
LEFT = wire.Instead("m1", "op-first", "op-second", "2026-01-31T13:05:00Z")
LOST = (
    wire.Loss("shop", "data", True, [3], [], LEFT),
    wire.Loss("shop", "files", True, [], ["before"]),
)
REMOVED = wire.Success("machine_removed", to_builtins(wire.MachineRemoved("id-2", "m2", False)), "op-aaaaaaaaaaaa")
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


def losing(*volumes: wire.Loss, reachable: bool = False) -> Scene:
    """A daemon that tells what would be lost with m2."""
    return answering(wire.Success("losses", to_builtins(wire.Losses("m2", reachable, [*volumes]))))


def test_with_another_name_no_machine_is_removed() -> None:
    with daemon(losing(*LOST)) as playing:
        with terminal(*FORCE, playing.socket) as person:
            person.until("Type m2 if it is meant")
            person.types(b"m3\n")
            assert person.ends() == 3
            assert "question.differs" in person.seen
        assert playing.asked() == [wire.MachineLosses("m2")]
    asked = " ".join(person.seen.split())
    assert "it is off: it has to be" in asked
    assert "shop/data (what is in it, the data of deploy 3, but for what m1 has of 2026-01-31T13:05:00Z)" in asked
    assert "shop/files (what is in it, the snapshots before)" in asked


@pytest.mark.parametrize(
    ("lost", "says", "accepts"),
    [(LOST, "that is lost", ("shop/data", "shop/files")), ((), "Nothing is known that it alone has", ())],
)
def test_its_name_accepts_what_is_lost_with_it(
    lost: tuple[wire.Loss, ...], says: str, accepts: tuple[str, ...]
) -> None:
    with daemon(losing(*lost), answering(REMOVED)) as playing:
        with terminal(*FORCE, playing.socket) as person:
            assert says in person.until("Type m2 if it is meant")
            person.types(b"m2\n")
            assert person.ends() == 0
        assert playing.asked() == [wire.MachineLosses("m2"), wire.MachineRm("m2", True, accepts)]


def test_of_a_machine_that_answers_nothing_is_asked() -> None:
    with daemon(losing(*LOST, reachable=True), answering(REMOVED)) as playing:
        with terminal(*FORCE, playing.socket) as person:
            assert person.ends() == 0
            assert "Type m2" not in person.seen
        assert playing.asked() == [wire.MachineLosses("m2"), wire.MachineRm("m2", True)]


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
