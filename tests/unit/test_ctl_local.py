"""`dev` runs `ployzd dev` beside it, shows what that says, and keeps the context up to date."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon import wire
from tests.fakes.ployzd import document
from tests.fakes.terminal import HOUSE, Finished, environment

M1 = wire.DevMachine("m1", "192.168.77.1", "/run/x/m1", "http://127.0.0.1:8080", "up")
UP = wire.Success("dev", msgspec.to_builtins(wire.DevCluster("dev", "namespace", [M1])))
LIST = wire.Success("clusters", {"clusters": [UP.result]})
SAYS = '#!/bin/sh\n{first}\nread -r line\necho "$1 $line" > "$0.asked"\ncat <<\'END\'\n{said}END\n{then}\n'


def place(folder: Path, said: str, then: str = "", first: str = "") -> Path:
    """A python with a `ployzd` beside it that says this, between what it does `first` and `then`."""
    binaries = folder / "bin"
    binaries.mkdir()
    (binaries / "python").symlink_to(os.path.realpath(sys.executable))
    ployzd = binaries / "ployzd"
    ployzd.write_text(SAYS.format(first=first, said=said, then=then))
    ployzd.chmod(0o755)
    return binaries / "python"


def start(python: Path, *words: str) -> "subprocess.Popen[bytes]":
    paths = os.pathsep.join([str(HOUSE), *(path for path in sys.path if "site-packages" in path)])
    env = environment(PYTHONPATH=paths, XDG_CONFIG_HOME=str(python.parent))
    return subprocess.Popen(
        [python, "-m", "ctl", *words], cwd=HOUSE, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def dev(python: Path, *words: str) -> Finished:
    process = start(python, *words)
    out, error = process.communicate(timeout=20)
    return Finished(process.returncode, out.decode(), error.decode())


def kept(python: Path) -> Any:
    return json.loads((python.parent / "ployz" / "contexts.json").read_text())


def asked(python: Path) -> wire.DevRequest:
    words, _, line = (python.parent / "ployzd.asked").read_text().partition(" ")
    assert words == "dev"
    found: wire.DevRequest = msgspec.json.decode(line, type=wire.DevRequest)
    return found


def test_up_makes_a_cluster_and_uses_it(tmp_path: Path) -> None:
    event = wire.Event("dev", "2026-01-31T13:05:07Z", "doing", "1 start m1")
    python = place(tmp_path, wire.encode(event).decode() + wire.encode(UP).decode())
    done = dev(python, "dev", "up")
    assert (done.code, done.error) == (0, "  … start m1\n")
    assert "http://127.0.0.1:8080" in done.out
    assert asked(python) == wire.DevUp()
    assert kept(python) == {"current": "dev", "contexts": {"dev": {"socket": "/run/x/m1"}}}
    done = dev(python, "--json", "dev", "down")
    assert (done.code, document(done.out)["kind"], asked(python)) == (0, "dev", wire.DevDown())
    assert kept(python) == {}


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        ("up --machines 3 --name x", wire.DevUp("x", 3)),
        ("kill m2", wire.DevKill("m2")),
        ("pause m2 --name x", wire.DevPause("m2", "x")),
        ("resume m2", wire.DevResume("m2")),
        ("part m1 m2", wire.DevPart(["m1", "m2"])),
        ("part m1 --loss 20 --one-way --name x", wire.DevPart(["m1"], 20, one_way=True, name="x")),
        ("heal --name x", wire.DevHeal("x")),
    ],
)
def test_what_is_done_to_a_cluster_is_asked_as_it_was_said(
    tmp_path: Path, words: str, request_: wire.DevRequest
) -> None:
    python = place(tmp_path, wire.encode(UP).decode())
    done = dev(python, "--json", "dev", *words.split())
    assert (done.code, document(done.out)["kind"], asked(python)) == (0, "dev", request_)


def test_down_leaves_a_context_of_that_name_that_is_another_daemons(tmp_path: Path) -> None:
    python = place(tmp_path, wire.encode(UP).decode())
    dev(python, "context", "add", "dev", "--socket", "/elsewhere")
    assert dev(python, "dev", "down").code == 0
    assert kept(python) == {"contexts": {"dev": {"socket": "/elsewhere"}}}


def test_env_points_a_shell_at_a_machine(tmp_path: Path) -> None:
    python = place(tmp_path, wire.encode(LIST).decode())
    assert dev(python, "dev", "env", "m1").out == "export PLOYZ_SOCKET=/run/x/m1\n"
    told = document(dev(python, "dev", "env", "m1", "--json").out)
    assert (told["kind"], told["result"]) == ("environment", {"variables": {"PLOYZ_SOCKET": "/run/x/m1"}})


@pytest.mark.parametrize("words", [("m2",), ("m1", "--name", "other")])
def test_env_of_what_is_not_there_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    python = place(tmp_path, wire.encode(LIST).decode())
    done = dev(python, "--json", "dev", "env", *words)
    assert (done.code, document(done.out)["error"]["code"]) == (3, "dev.missing")


def test_ls_lists_all_or_one(tmp_path: Path) -> None:
    python = place(tmp_path, wire.encode(LIST).decode())
    assert document(dev(python, "--json", "dev", "ls").out)["result"] == LIST.result
    assert document(dev(python, "--json", "dev", "ls", "--name", "other").out)["result"] == {"clusters": []}


def test_a_refusal_is_passed_on(tmp_path: Path) -> None:
    failure = wire.Failure(wire.Error("dev.root", "refused", "cannot make a cluster", "you are not root"))
    done = dev(place(tmp_path, wire.encode(failure).decode()), "--json", "dev", "up")
    assert (done.code, document(done.out)["error"]["code"]) == (3, "dev.root")


def test_a_program_that_dies_is_quoted(tmp_path: Path) -> None:
    done = dev(place(tmp_path, "", then="echo 'no such file' >&2; exit 7"), "--json", "dev", "up")
    error = document(done.out)["error"]
    assert (done.code, error["code"]) == (1, "dev.lost")
    assert error["why"] == "`ployzd dev` ended with 7 before it had answered\nno such file"


def test_an_interrupt_reaches_the_program_once(tmp_path: Path) -> None:
    said = wire.encode(wire.Event("dev", "2026-01-31T13:05:07Z", "doing", "1 start m1")).decode()
    failure = wire.Failure(wire.Error("dev.aborted", "taken_back", "cannot make a cluster", "it was aborted"))
    taken_back = tmp_path / "taken-back"
    taken_back.write_bytes(wire.encode(failure))
    # The trap comes before the event that the test waits for: from then on an interrupt finds it.
    trap = f"trap 'kill $!; cat {taken_back}; exit 4' INT"
    process = start(place(tmp_path, said, then="sleep 60 & wait", first=trap), "--json", "--events", "dev", "up")
    assert process.stdout
    assert b"start m1" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, document(out.decode())["error"]["code"]) == (4, "dev.aborted")
