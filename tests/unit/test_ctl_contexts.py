"""Which daemon is asked: flags, then the environment, then the context in use, then the usual socket."""

import json
from pathlib import Path

import pytest

from ctl import contexts
from ctl.contexts import Contexts
from daemon.wire import Problem
from tests.fakes.ployzd import document
from tests.fakes.terminal import ployzctl

KNOWN = Contexts("home").with_context("home", "/home").with_context("away", "/away")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("socket", "context", "environment", "asked"),
    [
        ("/flag", None, {"PLOYZ_SOCKET": "/env"}, "/flag"),
        (None, "away", {"PLOYZ_SOCKET": "/env"}, "/away"),
        (None, None, {"PLOYZ_SOCKET": "/env", "PLOYZ_CONTEXT": "away"}, "/env"),
        (None, None, {"PLOYZ_CONTEXT": "away"}, "/away"),
        (None, None, {}, "/home"),
    ],
)
def test_what_is_nearer_counts_more(
    folder: Path, socket: str | None, context: str | None, environment: dict[str, str], asked: str
) -> None:
    contexts.write(KNOWN)
    assert contexts.place(socket, context, environment).socket == asked


def test_without_any_of_them_it_is_the_usual_socket(folder: Path) -> None:
    assert contexts.place(None, None, {}).socket == contexts.DEFAULT


@pytest.mark.parametrize("environment", [{"PLOYZ_CONTEXT": "gone"}, {}])
def test_a_context_that_is_not_known_is_refused(folder: Path, environment: dict[str, str]) -> None:
    contexts.write(KNOWN.using("gone"))
    with pytest.raises(Problem) as caught:
        contexts.place(None, None, environment)
    assert (caught.value.code, caught.value.state) == ("context.missing", "refused")


def test_two_daemons_at_once_are_wrong_usage() -> None:
    done = ployzctl("--json", "ps", "--socket", "/a", "--context", "b")
    assert (done.code, document(done.out)["error"]["why"]) == (2, "--socket and --context name two daemons")


def test_contexts_are_added_used_listed_and_removed(tmp_path: Path) -> None:
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    ployzctl("context", "add", "home", "--socket", "/home", env=env)
    ployzctl("context", "add", "away", "--socket", "/away", env=env)
    done = ployzctl("--json", "context", "use", "home", env=env)
    assert document(done.out)["result"]["contexts"] == [
        {"name": "away", "socket": "/away", "current": False},
        {"name": "home", "socket": "/home", "current": True},
    ]
    file = tmp_path / "ployz" / "contexts.json"
    kept = {"current": "home", "contexts": {"home": {"socket": "/home"}, "away": {"socket": "/away"}}}
    assert json.loads(file.read_text()) == kept
    assert ployzctl("context", "ls", env=env).out == "    NAME   SOCKET\n    away   /away\n▸   home   /home\n"
    ployzctl("context", "rm", "home", env=env)
    assert json.loads(file.read_text()) == {"contexts": {"away": {"socket": "/away"}}}
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("use", "gone"), "context.missing"),
        (("rm", "gone"), "context.missing"),
        (("add", "home", "--socket", "/other"), "context.exists"),
    ],
)
def test_what_cannot_be_done_to_a_context_is_refused(folder: Path, words: tuple[str, ...], code: str) -> None:
    contexts.write(KNOWN)
    done = ployzctl("--json", "context", *words, env={"XDG_CONFIG_HOME": str(folder)})
    assert (done.code, document(done.out)["error"]["code"]) == (3, code)
    assert contexts.read() == KNOWN


def test_a_broken_file_is_named(folder: Path) -> None:
    contexts.write(KNOWN)
    Path(contexts.file()).write_text("{")
    with pytest.raises(Problem) as caught:
        contexts.read()
    assert (caught.value.code, contexts.file() in caught.value.why) == ("context.broken", True)


def test_a_folder_that_cannot_be_written_is_named(folder: Path) -> None:
    (folder / "ployz").write_text("a file")
    with pytest.raises(Problem) as caught:
        contexts.write(KNOWN)
    assert caught.value.code == "context.unwritable"
