"""Ctrl-C takes a mutation back, a second one lets go of it, and a daemon that goes away is said to have gone."""

import re
import signal
import threading

import pytest

from daemon import wire
from daemon.wire import Error, Event, Failure, Success
from tests.fakes.ployzd import Scene, Talk, answering, daemon, document
from tests.fakes.terminal import ployzctl, terminal

AT = "2026-01-31T13:05:07Z"
ID = "op-aaaaaaaaaaaa"
MINE = ("rollback", "shop", "--op-id", ID)
BEGUN = Event(ID, AT, "doing", "1 stop db")
TAKEN_BACK = Failure(Error("operation.aborted", "taken_back", "cannot roll back shop", "it was aborted"), ID)
COMMITTED = Failure(Error("operation.committed", "refused", f"cannot abort {ID}", "it is committed"), ID)


def running(until: threading.Event, *last: wire.Event | Success | Failure) -> Scene:
    """An operation that has begun, and ends once it may."""

    def scene(talk: Talk) -> None:
        talk.begin()
        talk.say(BEGUN)
        assert until.wait(20)
        talk.say(*last)
        talk.end()

    return scene


def aborting(then: threading.Event, answer: Success | Failure) -> Scene:
    """What a daemon does with an abort."""

    def scene(talk: Talk) -> None:
        assert talk.call.request == wire.OpAbort(ID)
        try:
            answering(answer)(talk)
        finally:  # whoever has its answer may hang up before its end
            then.set()

    return scene


def begun(talk: Talk) -> None:
    talk.begin()
    talk.say(BEGUN)
    talk.wait_for_hangup()


def cut(talk: Talk) -> None:
    talk.begin()
    talk.say(BEGUN)


def test_the_first_interrupt_takes_it_back_and_waits_for_that() -> None:
    aborted = threading.Event()
    scenes = (running(aborted, TAKEN_BACK), aborting(aborted, Success("aborted", {}, ID)))
    with daemon(*scenes) as playing, terminal(*MINE, "--socket", playing.socket) as person:
        person.until("stop db")
        person.process.send_signal(signal.SIGINT)
        assert person.ends() == 4
    assert "Asking the daemon to take op-aaaaaaaaaaaa back." in person.seen
    assert "Taken back: everything is as it was before." in person.seen


def test_after_the_commit_an_interrupt_changes_nothing() -> None:
    refused = threading.Event()
    scenes = (running(refused, Success("other", {}, ID)), aborting(refused, COMMITTED))
    with daemon(*scenes) as playing, terminal(*MINE, "--socket", playing.socket) as person:
        person.until("stop db")
        person.process.send_signal(signal.SIGINT)
        assert person.ends() == 0
    assert "cannot abort op-aaaaaaaaaaaa: because it is committed" in person.seen


@pytest.mark.parametrize("garbage", [b"no json\n", b""])
def test_an_abort_that_is_not_understood_does_not_end_the_waiting(garbage: bytes) -> None:
    asked = threading.Event()

    def stumbling(talk: Talk) -> None:
        talk.begin()
        try:
            talk.say(*([garbage] if garbage else []))
            talk.close()
        finally:
            asked.set()

    scenes = (running(asked, TAKEN_BACK), stumbling)
    with daemon(*scenes) as playing, terminal(*MINE, "--socket", playing.socket) as person:
        person.until("stop db")
        person.process.send_signal(signal.SIGINT)
        assert person.ends() == 4


def test_an_answer_that_is_not_understood_still_names_the_operation() -> None:
    with daemon(answering(BEGUN, b"no json\n")) as playing:
        told = document(ployzctl("--json", *MINE, "--socket", playing.socket).out)
    assert (told["operation"], told["error"]["code"]) == (ID, "daemon.answer")


def test_the_second_interrupt_lets_go_and_says_how_to_come_back() -> None:
    with (
        daemon(begun, aborting(threading.Event(), COMMITTED)) as playing,
        terminal(*MINE, "--socket", playing.socket) as person,
    ):
        person.until("stop db")
        person.process.send_signal(signal.SIGINT)
        person.until("it is committed")
        person.process.send_signal(signal.SIGINT)
        assert person.ends() == 1
    assert "try: ployzctl op show op-aaaaaaaaaaaa -f" in re.sub("\x1b\\[[0-9;]*m", "", person.seen)


def test_who_reads_documents_is_told_by_codes_of_letting_go_and_of_an_interrupt() -> None:
    asked = threading.Event()
    scenes = (begun, aborting(asked, COMMITTED), begun)
    with daemon(*scenes) as playing:
        with terminal("--events", *MINE, "--socket", playing.socket) as person:
            person.until('"doing"')
            person.process.send_signal(signal.SIGINT)
            assert asked.wait(20)
            person.process.send_signal(signal.SIGINT)
            assert person.ends() == 1
        assert '"code":"detached"' in person.seen
        with terminal("--events", "op", "show", ID, "-f", "--socket", playing.socket) as person:
            person.until('"doing"')
            person.process.send_signal(signal.SIGINT)
            assert person.ends() == 1
        assert '"code":"interrupted"' in person.seen


def test_a_look_ends_at_once() -> None:
    with daemon(begun) as playing, terminal("op", "show", ID, "-f", "--socket", playing.socket) as person:
        person.until("stop db")
        person.process.send_signal(signal.SIGINT)
        assert person.ends() == 1
    assert "it was interrupted" in person.seen


def test_a_log_that_is_followed_ends_well() -> None:
    def following(talk: Talk) -> None:
        talk.begin()
        talk.say(wire.Output(b"one line\n"))
        talk.wait_for_hangup()

    with daemon(following) as playing, terminal("logs", "shop/web", "-f", "--socket", playing.socket) as person:
        person.until("one line")
        person.process.send_signal(signal.SIGINT)
        assert person.ends() == 0


def test_a_daemon_that_goes_away_leaves_the_operation_to_be_asked_for() -> None:
    with daemon(cut) as playing:
        done = ployzctl("--json", *MINE, "--socket", playing.socket)
    told = document(done.out)
    assert (done.code, told["operation"], told["error"]["code"]) == (1, ID, "daemon.lost")
    why = "the daemon went away; the operation goes on or is taken back when it is back"
    assert (told["error"]["why"], told["error"]["try"]) == (why, f"ployzctl op show {ID} -f")


def test_a_daemon_that_goes_away_during_a_look_is_to_be_asked_again() -> None:
    with daemon(cut) as playing:
        done = ployzctl("--json", "ps", "--socket", playing.socket)
    assert (done.code, document(done.out)["error"]["code"], document(done.out)["operation"]) == (1, "daemon.lost", None)


def test_every_mutation_has_an_id_from_the_start_and_a_preview_has_none() -> None:
    scenes = [answering(Success("other", {}))] * 3
    with daemon(*scenes) as playing:
        for words in (("rollback", "shop"), ("rollback", "shop"), ("rollback", "preview", "shop")):
            ployzctl(*words, "--socket", playing.socket)
    first, second, preview = (talk.call.how for talk in playing.talks)
    assert re.fullmatch("op-[a-z2-7]{12}", first.op_id or "")
    assert first.op_id != second.op_id
    assert preview == wire.How(preview=True)


def test_all_flags_of_a_mutation_reach_the_daemon() -> None:
    flags = ["--op-id", "x", "--wait", "2.5", "--take-over", "--expect", "4", "--timeout", "60", "--yes"]
    with daemon(answering(Success("other", {}))) as playing:
        ployzctl(*flags, "rollback", "shop", "--to", "3", "--code-only", "--socket", playing.socket)
    [talk] = playing.talks
    assert talk.call == wire.Call(wire.Rollback("shop", 3, True), wire.How(False, "x", 2.5, True, 4, 60.0))
    assert talk.headers["ployz-version"] == str(wire.VERSION)


def test_an_abort_that_comes_too_late_changes_nothing() -> None:
    with daemon(answering(COMMITTED), answering(Success("aborted", {}, ID))) as playing:
        late = ployzctl("op", "abort", ID, "--socket", playing.socket)
        done = ployzctl("op", "abort", ID, "--socket", playing.socket)
    assert (late.code, late.error.splitlines()[-1]) == (3, "Nothing was changed.")
    assert (done.code, done.out, playing.asked()) == (0, f"{ID} is taken back.\n", [wire.OpAbort(ID)] * 2)


def test_a_stuck_operation_is_carried_on_with() -> None:
    with daemon(answering(BEGUN, TAKEN_BACK)) as playing:
        done = ployzctl("op", "resume", ID, "--take-over", "--socket", playing.socket)
    assert (done.code, playing.asked()) == (4, [wire.OpResume(ID)])
    assert [talk.call.how for talk in playing.talks] == [wire.How(take_over=True)]
