"""`doctor` as people and programs see it: marks, what to do, the exit code, with a daemon and without one."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from ctl import texts
from ctl.style import Style
from daemon import wire
from daemon.wire import Check
from tests.fakes.ployzd import document
from tests.unit.test_ctl_local import dev, place

GOOD = Check("pool", "ok", "it is 3 % full", machine="m1")
ODD = Check("clock", "warning", "it is 3.0 s away", "have it set", "m1")
BAD = Check("names", "failure", "no answer\nfor 5 s", "look at dnsmasq.log", "m1")


def told(*checks: Check) -> wire.Success:
    return wire.Success("doctor", {"checks": msgspec.to_builtins(checks)})


def text(*checks: Check) -> list[str]:
    return texts.text("doctor", told(*checks).result, Style()).splitlines()


def test_a_mark_a_line_and_what_to_do_below() -> None:
    assert text(GOOD, ODD, BAD) == [
        "✓ pool   it is 3 % full",
        "! clock  it is 3.0 s away",
        "         try: have it set",
        "✗ names  no answer",
        "         for 5 s",
        "         try: look at dnsmasq.log",
        "",
        "1 failure and 1 warning in 3 checks.",
    ]
    assert text(GOOD)[-1] == "All is well: 1 check."


@pytest.mark.parametrize(("checks", "code"), [([GOOD], 0), ([GOOD, ODD], 0), ([GOOD, BAD], 3)])
def test_only_a_failure_is_refused(tmp_path: Path, checks: list[Check], code: int) -> None:
    python = place(tmp_path, wire.encode(told(*checks)).decode())
    done = dev(python, "--json", "doctor", "--host")
    assert done.code == code
    assert [check["name"] for check in document(done.out)["result"]["checks"]] == [check.name for check in checks]
    assert (tmp_path / "bin" / "ployzd.asked").read_text().split()[0] == "doctor"


@pytest.mark.parametrize(("words", "state", "code"), [((), "warning", 0), (("--socket", "/nowhere"), "failure", 3)])
def test_without_a_daemon_the_host_is_looked_at_all_the_same(tmp_path: Path, words: Any, state: str, code: int) -> None:
    python = place(tmp_path, wire.encode(told(GOOD)).decode())
    done = dev(python, "--json", "doctor", *words)
    daemon, pool = document(done.out)["result"]["checks"]
    assert (daemon["name"], daemon["state"], bool(daemon["try"]), done.code) == ("daemon", state, True, code)
    assert pool["name"] == "pool"


def test_a_doctor_that_dies_is_told(tmp_path: Path) -> None:
    done = dev(place(tmp_path, "", "exit 9"), "--json", "doctor", "--host")
    assert (done.code, document(done.out)["error"]["code"]) == (1, "doctor.lost")
    assert "`ployzd doctor` ended with 9" in document(done.out)["error"]["why"]
