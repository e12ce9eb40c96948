"""With --json there is exactly one document on stdout, whatever happens; and every ending has its exit code."""

import json

import pytest
from msgspec import to_builtins

from ctl.show import Screen
from daemon import wire
from daemon.wire import Error, Event, Failure, Output, Success
from tests.fakes.ployzd import answering, daemon, document
from tests.fakes.terminal import ployzctl

AT = "2026-01-31T13:05:07Z"
ROW = wire.InstanceRow("i1", "shop", "web", "m1", "10.210.1.5", "running", AT, 0, None, "shop/web:2", "sha256:a")
INSTANCES = Success("instances", {"instances": [to_builtins(ROW)]})
EVENT = Event("op-1", AT, "done", "1 start web", machine="m1")


def test_a_success_is_one_document_and_nothing_else() -> None:
    with daemon(answering(INSTANCES)) as playing:
        done = ployzctl("--json", "ps", "shop", "--socket", playing.socket)
    assert (done.code, done.error) == (0, "")
    assert document(done.out) == {
        "ok": True,
        "kind": "instances",
        "operation": None,
        "result": {"instances": [to_builtins(ROW)]},
        "warnings": [],
    }
    assert playing.asked() == [wire.Ps("shop")]


@pytest.mark.parametrize(
    "words",
    [("--json", "ps"), ("ps", "--json"), ("--json", "op", "ls"), ("op", "--json", "ls"), ("op", "ls", "--json")],
)
def test_flags_are_understood_before_and_after_the_command(words: tuple[str, ...]) -> None:
    with daemon(answering(Success("any", {}))) as playing:
        done = ployzctl("--socket", playing.socket, *words)
    assert document(done.out)["ok"] is True


@pytest.mark.parametrize(("state", "code"), [("error", 1), ("refused", 3), ("taken_back", 4), ("stuck", 5)])
def test_a_failure_is_one_document_with_the_exit_code_of_its_state(state: wire.State, code: int) -> None:
    failure = Failure(Error("a.code", state, "cannot roll back shop", "there is no shop", "ployzctl ps"), "op-1")
    with daemon(answering(EVENT, failure)) as playing:
        done = ployzctl("--json", "rollback", "shop", "--socket", playing.socket)
    assert (done.code, done.error) == (code, "")
    assert document(done.out) == {
        "ok": False,
        "operation": "op-1",
        "error": {
            "code": "a.code",
            "state": state,
            "what": "cannot roll back shop",
            "why": "there is no shop",
            "try": "ployzctl ps",
        },
    }


def test_events_come_before_the_document_one_a_line() -> None:
    with daemon(answering(EVENT, EVENT, Success("deployed", {"n": 1}, "op-1"))) as playing:
        done = ployzctl("rollback", "shop", "--events", "--socket", playing.socket)
    *events, last = map(json.loads, done.out.splitlines())
    assert events == [to_builtins(EVENT)] * 2
    assert (last["ok"], last["result"], done.error, done.code) == (True, {"n": 1}, "", 0)


@pytest.mark.parametrize(
    ("words", "why", "hint"),
    [
        (("dploy",), "there is no command dploy", "ployzctl deploy"),
        (("op", "lss"), "there is no command lss", "ployzctl op ls"),
        (("ps", "--jso"), "it has no option --jso", "ployzctl ps --json"),
        (("rollback",), "NS is missing", "ployzctl help rollback"),
        (("rollback", "shop", "--to", "x"), "--to: 'x' is not a valid whole number", "ployzctl help rollback"),
        (("rollback", "shop", "blog"), "one namespace at a time, not shop blog", "ployzctl help rollback"),
        (
            ("deploy", "now", "-f", "x"),
            "now is not a part of it: the manifest names the namespace",
            "ployzctl help deploy",
        ),
        (("op",), "it needs the name of a command", "ployzctl help op"),
        (("logs", "shop"), "NS/SERVICE: shop is not a namespace and a service, such as shop/web", "ployzctl help logs"),
        (
            ("ps", "--take-over"),
            "--take-over is for commands that change something, and this one does not",
            "ployzctl help ps",
        ),
        (("ps", "--quux"), "it has no option --quux", "ployzctl help ps"),
        (("ps", "--fresh"), "it has no option --fresh", "ployzctl help ps"),
    ],
)
def test_wrong_usage_is_a_document_too(words: tuple[str, ...], why: str, hint: str) -> None:
    done = ployzctl(*words, "--json")
    error = document(done.out)["error"]
    assert (done.code, done.error) == (2, "")
    assert (error["code"], error["state"], error["why"], error["try"]) == ("usage", "error", why, hint)


def test_wrong_usage_is_told_to_people_with_the_nearest_name() -> None:
    done = ployzctl("dploy")
    assert done == type(done)(
        2, "", "ployzctl: cannot run `ployzctl`: because there is no command dploy\n  try: ployzctl deploy\n"
    )


def test_what_begins_with_a_dash_can_be_a_name_for_the_daemon_to_refuse() -> None:
    with daemon(answering(INSTANCES)) as playing:
        done = ployzctl("--json", "--socket", playing.socket, "ps", "--", "-x")
    assert (done.code, playing.asked()) == (0, [wire.Ps("-x")])


def test_what_follows_two_dashes_is_no_flag() -> None:
    done = ployzctl("exec", "shop/web", "--socket", "/nonexistent/s", "--", "ls", "--json")
    assert (done.code, done.out) == (1, "")


def test_no_daemon_is_an_error_with_a_hint() -> None:
    done = ployzctl("--json", "ps", "--socket", "/nonexistent/s")
    error = document(done.out)["error"]
    assert (done.code, error["code"], error["state"]) == (1, "daemon.unreachable", "error")
    assert "/nonexistent/s" in error["why"]
    assert error["try"]


@pytest.mark.parametrize(("version", "code", "exit_code"), [("2", "version.mismatch", 3), (None, "daemon.answer", 1)])
def test_another_version_of_the_contract_is_refused(version: str | None, code: str, exit_code: int) -> None:
    with daemon(answering(INSTANCES, version=version)) as playing:
        done = ployzctl("--json", "ps", "--socket", playing.socket)
    assert (done.code, document(done.out)["error"]["code"]) == (exit_code, code)


@pytest.mark.parametrize("line", [b"hello\n", b'{"what":1}\n', b'{"ok":true}\n', b"[]\n"])
def test_an_answer_that_is_none_is_said_to_be(line: bytes) -> None:
    with daemon(answering(line)) as playing:
        done = ployzctl("--json", "ps", "--socket", playing.socket)
    assert (done.code, document(done.out)["error"]["code"]) == (1, "daemon.answer")


def test_a_refusal_with_an_http_status_is_a_refusal() -> None:
    refusal = Failure(Error("caller.viewer", "refused", "cannot roll back", "you may only look"))
    with daemon(answering(refusal, status=403)) as playing:
        done = ployzctl("--json", "rollback", "shop", "--socket", playing.socket)
    assert (done.code, document(done.out)["error"]["code"]) == (3, "caller.viewer")


def test_lines_of_a_log_are_in_the_document() -> None:
    lines = [Output(b"one\n", instance="i1", at=AT), Output(b"tw\xff\n", "stderr", "i2")]
    with daemon(answering(*lines, Success("logs", {}))) as playing:
        done = ployzctl("--json", "logs", "shop/web", "--tail", "2", "--socket", playing.socket)
    assert document(done.out)["result"] == {
        "lines": [
            {"instance": "i1", "at": AT, "stream": "stdout", "text": "one"},
            {"instance": "i2", "at": "", "stream": "stderr", "text": "tw�"},
        ]
    }
    assert playing.asked() == [wire.Logs("shop", "web", tail=2)]


def test_help_is_a_document_where_one_is_wanted() -> None:
    for words in (("help", "ps"), ("ps", "--help")):
        done = ployzctl("--json", *words)
        assert done.code == 0
        assert "ployzctl ps shop" in document(done.out)["result"]["text"]


def test_words_that_are_not_text_are_wrong_usage() -> None:
    done = ployzctl("--json", "ps", "a\udcff")
    assert (done.code, document(done.out)["error"]["why"]) == (2, r"'a\udcff' is not UTF-8")


def test_a_bug_is_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(json=True).bug(ValueError, ValueError("three"), None)
    written = capsys.readouterr()
    assert document(written.out)["error"]["code"] == "bug"
    assert "three" in written.err
