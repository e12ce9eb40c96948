"""The unit that starts a daemon at each boot, as systemd takes it, and as it acts on it."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ctl import booting
from ctl.booting import text
from ctl.ssh import Ended, Host
from runtime.command import finish
from tests.booted.units import systemctl, told

UNIT = "ployzd.service"


class Here(Host):
    """This host, without a way over the network."""

    def run(self, *words: str, given: bytes | IO[bytes] = b"") -> Ended:
        assert isinstance(given, bytes)
        ended = subprocess.run(words, input=given, capture_output=True, check=False)
        return Ended(ended.returncode, ended.stdout, ended.stderr.decode())


def verified(folder: Path, said: str) -> str:
    """What systemd has against a unit, without starting it; empty if nothing."""
    unit = folder / UNIT
    unit.write_text(said)
    ended = asyncio.run(finish("systemd-analyze", "verify", "--man=no", str(unit), may_exit=(0, 1)))
    lines = (ended.out + ended.error).splitlines()
    return "\n".join(line for line in lines if UNIT in line)


def until(holds: Callable[[], bool]) -> None:
    last = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < last
        time.sleep(0.05)


def test_systemd_takes_it_as_it_is(tmp_path: Path) -> None:
    assert verified(tmp_path, text([sys.executable, "--engine", "managed", '50% "of" $HOME\\'])) == ""


def test_systemd_would_say_what_is_wrong_with_it(tmp_path: Path) -> None:
    said = text([sys.executable])
    assert "Unknown key" in verified(tmp_path, said.replace("KillMode=", "KillsMode="))
    assert "not executable" in verified(tmp_path, text(["/nowhere/ployzd"]))


def test_it_runs_now_and_at_boots_and_again_when_killed_and_what_it_started_outlives_it(tmp_path: Path) -> None:
    program, note = tmp_path / "daemon", tmp_path / "child"
    shutil.copy("/bin/sh", program)
    started = booting.start(Here("root@here"), str(program), "-c", "sleep 1000 & echo $! >$0; wait", str(note))
    assert (started.warning, started.has_ended()) == ("", False)
    until(lambda: note.exists() and bool(note.read_text()))
    assert systemctl("is-enabled", UNIT).strip() == "enabled"
    first, child = told(UNIT, "MainPID")["MainPID"], Path("/proc", note.read_text().strip())
    os.kill(int(first), signal.SIGKILL)
    until(lambda: told(UNIT, "MainPID")["MainPID"] not in ("0", first))
    assert started.has_ended()
    assert child.exists(), "what serves goes on without the daemon"
    systemctl("stop", UNIT)
    assert child.exists()
