"""A command in an instance gets our input and our terminal, and we its output and its exit code."""

import signal

import pytest

from ctl.flags import Flags
from ctl.program import program
from daemon import wire
from daemon.wire import Error, Failure, Input, Output, Refused, Success
from tests.fakes.ployzd import Scene, Talk, answering, daemon, document
from tests.fakes.terminal import ployzctl, ployzctl_bytes, terminal


def echoing(inputs: list[Input], code: int = 0) -> Scene:
    """A command that writes what it reads, until the end of its input or a `q`."""

    def scene(talk: Talk) -> None:
        talk.begin()
        talk.say(Output(b"ready\r\n"))
        for line in talk.inputs():
            inputs.append(line)
            if line.data:
                talk.say(Output(line.data))
            if line.rows:
                talk.say(Output(f"{line.rows}x{line.columns}".encode()))
            if b"q" in line.data:
                break
        talk.say(Success("executed", {"code": code}))
        talk.end()

    return scene


def test_output_is_passed_on_as_it_is_and_so_is_the_exit_code() -> None:
    pieces = [Output(b"\x00\xffout"), Output(b"err", "stderr"), Output(b"put\n")]
    with daemon(answering(*pieces, Success("executed", {"code": 42}))) as playing:
        done = ployzctl_bytes("exec", "shop/db", "--socket", playing.socket, "--", "psql", "-c", "select 1", "--json")
    assert done == (42, b"\x00\xffoutput\n", b"err")
    [request] = playing.asked()
    assert request == wire.Exec("shop", "db", ["psql", "-c", "select 1", "--json"])


def test_a_document_holds_what_was_written() -> None:
    pieces = [Output(b"out"), Output(b"err", "stderr"), Output(b"put\n")]
    with daemon(answering(*pieces, Success("executed", {"code": 3}))) as playing:
        done = ployzctl("--json", "exec", "shop/db", "--socket", playing.socket, "--", "true")
    assert done.code == 3
    assert document(done.out)["result"] == {"code": 3, "stdout": "output\n", "stderr": "err"}


def test_a_refusal_is_ours_and_not_the_commands() -> None:
    with daemon(answering(Failure(Error("instance.missing", "refused", "cannot run", "none is up")))) as playing:
        done = ployzctl("exec", "shop/db", "--socket", playing.socket, "--", "true")
    assert (done.code, done.out) == (3, "")
    assert done.error == "ployzctl: cannot run: because none is up\n"


def test_input_goes_through_to_its_end() -> None:
    inputs: list[Input] = []
    data = bytes(byte for byte in range(256) if byte != ord("q")) * 4096
    with daemon(echoing(inputs)) as playing:
        done = ployzctl_bytes("exec", "-i", "shop/db", "--socket", playing.socket, "--", "cat", input=data)
    assert done == (0, b"ready\r\n" + data, b"")
    assert inputs[-1] == Input(end=True)


def test_without_i_there_is_no_input() -> None:
    inputs: list[Input] = []
    with daemon(echoing(inputs)) as playing:
        done = ployzctl_bytes("exec", "shop/db", "--socket", playing.socket, "--", "cat", input=b"unread")
    assert (done[1], inputs) == (b"ready\r\n", [Input(end=True)])


def test_a_terminal_is_raw_knows_its_size_and_is_given_back() -> None:
    inputs: list[Input] = []
    with (
        daemon(echoing(inputs, code=7)) as playing,
        terminal("exec", "-it", "shop/db", "--socket", playing.socket, "--", "sh", rows=33, columns=111) as person,
    ):
        person.until("ready")
        assert person.raw()
        person.types(b"\x03")
        person.until("\x03")
        person.resize(20, 70)
        person.process.send_signal(signal.SIGWINCH)
        person.until("20x70")
        person.types(b"q")
        assert person.ends() == 7
        assert not person.raw()
    [request] = playing.asked()
    assert request == wire.Exec("shop", "db", ["sh"], interactive=True, tty=True, rows=33, columns=111)


def test_a_terminal_is_given_back_when_the_daemon_goes_away() -> None:
    def going(talk: Talk) -> None:
        talk.begin()
        talk.say(Output(b"ready"))
        assert next(talk.inputs()).data == b"x"

    with daemon(going) as playing, terminal("exec", "-it", "a/b", "--socket", playing.socket, "--", "sh") as person:
        person.until("ready")
        person.types(b"x")
        assert person.ends() == 1
        assert not person.raw()
    assert "the daemon went away" in person.seen


def test_a_terminal_that_is_none_is_refused() -> None:
    done = ployzctl("--json", "exec", "-it", "shop/db", "--", "sh", "--json")
    assert (done.code, document(done.out)["error"]["code"]) == (2, "usage")
    done = ployzctl("exec", "-it", "shop/db", "--", "sh")
    assert (done.code, done.error) == (
        3,
        "ployzctl: cannot run the command: because stdin is not a terminal, and --tty needs one\n"
        "  try: the same without --tty\n",
    )


def test_a_terminal_that_is_none_has_a_code_of_its_own() -> None:
    words = ["exec", "-it", "shop/db", "--", "sh"]
    with program.make_context("ployzctl", words, obj=Flags()) as context, pytest.raises(Refused) as refused:
        program.invoke(context)
    assert refused.value.code == "exec.terminal"


def test_an_interrupt_without_a_terminal_ends_it() -> None:
    def waiting(talk: Talk) -> None:
        talk.begin()
        talk.say(Output(b"ready"))
        list(talk.inputs())
        talk.wait_for_hangup()

    with daemon(waiting) as playing, terminal("exec", "a/b", "--socket", playing.socket, "--", "sleep", "9") as person:
        person.until("ready")
        person.process.send_signal(signal.SIGINT)
        assert person.ends() == 1
