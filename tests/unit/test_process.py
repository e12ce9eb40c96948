"""Processes of the data plane are found again by their command line, by whoever comes next."""

import asyncio
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.process import Process, ProcessDied, is_ending, started

LEADER_ENDS = """
import ctypes, threading, time
threading.Thread(target=lambda: (print("threads", flush=True), time.sleep(60))).start()
time.sleep(0.2)
ctypes.CDLL(None).syscall({exit}, 0)
"""
EXIT = {"x86_64": 60, "aarch64": 93}
"""exit(2), which ends one thread, by machine."""


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    process = Process("sleeper", ("sleep", f"60.{os.getpid()}"), tmp_path / "folder")
    yield process
    asyncio.run(process.stop())


def test_what_runs_is_adopted(sleeper: Process) -> None:
    pid = asyncio.run(sleeper.ensure())
    assert asyncio.run(Process("another name", sleeper.argv, sleeper.folder).ensure()) == pid
    assert sleeper.running() == pid
    sleeper.require_alive()


def test_it_is_found_as_soon_as_it_was_started(tmp_path: Path) -> None:
    async def started_often() -> None:
        for number in range(30):
            process = Process("one", ("sleep", f"60.{os.getpid()}{number}"), tmp_path)
            pid = await process.ensure()
            found = process.running()
            os.kill(pid, signal.SIGKILL)
            assert found == pid

    asyncio.run(started_often())


def test_other_words_are_another_process(sleeper: Process) -> None:
    asyncio.run(sleeper.ensure())
    for argv in (sleeper.argv[:1], (*sleeper.argv, "1"), ("sleep", sleeper.argv[1] + "1")):
        assert Process("other", argv, sleeper.folder).running() is None


def test_it_stops(sleeper: Process) -> None:
    pid = asyncio.run(sleeper.ensure())
    asyncio.run(sleeper.stop())
    assert (sleeper.running(), started(pid)) == (None, None)
    with pytest.raises(ProcessDied, match="sleeper is not running: it said nothing"):
        sleeper.require_alive()
    asyncio.run(sleeper.stop())


def test_what_does_not_want_to_stop_is_killed(tmp_path: Path) -> None:
    ignores = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
    process = Process("deaf", (sys.executable, "-c", f"{ignores}; time.sleep(60.{os.getpid()})"), tmp_path)

    async def stopped() -> int:
        pid = await process.ensure()
        async with asyncio.timeout(10):
            while process.said() != "deaf":
                await asyncio.sleep(0.01)
        await process.stop(within=0.2)
        return pid

    assert started(asyncio.run(stopped())) is None


def test_the_end_of_its_log_says_why_it_died(tmp_path: Path) -> None:
    process = Process("short", ("sh", "-c", "seq 20; echo no port left >&2; exit 1"), tmp_path)

    async def died() -> None:
        pid = await process.ensure()
        async with asyncio.timeout(10):
            while started(pid):
                await asyncio.sleep(0.01)

    asyncio.run(died())
    with pytest.raises(ProcessDied, match=r"short is not running: 12\n(.*\n)*20\nno port left"):
        process.require_alive()


def test_a_zombie_is_dead() -> None:
    with subprocess.Popen(["sleep", f"60.{os.getpid()}"]) as child:
        process = Process("zombie", ("sleep", f"60.{os.getpid()}"), Path("/nowhere"))
        assert started(child.pid)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{child.pid}").exists()
        assert (started(child.pid), process.running()) == (None, None)


def test_a_zombie_with_a_thread_that_runs_is_not_dead() -> None:
    program = LEADER_ENDS.format(exit=EXIT[platform.machine()])
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"threads\n"
        stat = Path(f"/proc/{child.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "Z":
            os.sched_yield()
        alive, ending = started(child.pid), is_ending(child.pid)
        child.kill()
        child.wait()
        assert alive
        assert ending
        assert started(child.pid) is None


def test_what_never_was_is_dead() -> None:
    assert started(2**22 + 1) is None
