"""The one way out: what a command returns and raises, and that nothing it started outlives its caller."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dataplane.process import started
from runtime.command import ENVIRONMENT, CommandFailed, CommandMissing, CommandTimedOut, detach, finish, run

HOUSE = Path(__file__).parents[2]
LEAVES_A_CHILD = 'sleep 61 & echo $! > "$0"; '


def until(holds: Callable[[], object], within: float = 10.0) -> bool:
    end = time.monotonic() + within
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(holds())


async def appears(file: Path) -> int:
    """The pid that a command writes into the file."""
    async with asyncio.timeout(10):
        while not (file.exists() and file.read_text().endswith("\n")):
            await asyncio.sleep(0.01)
    return int(file.read_text())


def test_what_it_wrote_is_returned() -> None:
    assert asyncio.run(run("cat", input="two\nlines")) == "two\nlines"
    assert asyncio.run(run("sh", "-c", "echo out; echo err >&2")) == "out\n"


def test_its_words_stay_words_and_its_environment_is_fixed() -> None:
    os.environ["PLOYZ_TEST"] = "leaks"
    try:
        assert asyncio.run(run("printf", "%s|", "a b", "$HOME", "'")) == "a b|$HOME|'|"
        told = dict(line.split("=", 1) for line in asyncio.run(run("env")).splitlines())
    finally:
        del os.environ["PLOYZ_TEST"]
    assert told == ENVIRONMENT


def test_its_stdin_ends() -> None:
    assert asyncio.run(run("cat", within=5)) == ""


def test_another_exit_code_is_a_failure_that_can_be_pasted() -> None:
    with pytest.raises(CommandFailed) as failed:
        asyncio.run(run("sh", "-c", "echo out; echo it broke >&2; exit 3"))
    assert (failed.value.code, failed.value.out, failed.value.error) == (3, "out\n", "it broke\n")
    assert str(failed.value) == "`sh -c 'echo out; echo it broke >&2; exit 3'` exited with 3: it broke"
    told = asyncio.run(finish("sh", "-c", "exit 3", may_exit=(0, 3)))
    assert told.code == 3


def test_an_end_by_a_signal_is_a_failure() -> None:
    with pytest.raises(CommandFailed) as failed:
        asyncio.run(run("sh", "-c", "kill -9 $$"))
    assert failed.value.code == -signal.SIGKILL


def test_bytes_that_are_no_text_are_returned_all_the_same() -> None:
    assert asyncio.run(run("printf", r"a\377b")) == "a\ufffdb"


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(CommandMissing, match="the program no-such-program is not installed"):
        asyncio.run(run("no-such-program", "--flag"))
    with pytest.raises(CommandFailed):
        asyncio.run(run("sh", "-c", "exit 127"))


@pytest.mark.parametrize("goes_on", ["wait", "true", "exec sleep 62", "trap '' TERM; sleep 63 & wait; wait"])
def test_when_its_time_is_up_its_whole_group_is_gone(tmp_path: Path, goes_on: str) -> None:
    with pytest.raises(CommandTimedOut, match=r"did not end within 0\.5 seconds and was killed"):
        asyncio.run(run("sh", "-c", LEAVES_A_CHILD + goes_on, tmp_path / "pid", within=0.5))
    child = int((tmp_path / "pid").read_text())
    assert until(lambda: not started(child)), "what it started goes on"


@pytest.mark.parametrize("cancellations", [1, 3])
def test_when_its_caller_is_cancelled_its_whole_group_is_gone(tmp_path: Path, cancellations: int) -> None:
    async def cancelled() -> int:
        words = ("sh", "-c", f"trap 'sleep 0.3; exit' TERM; {LEAVES_A_CHILD} wait", tmp_path / "pid")
        task = asyncio.create_task(run(*words))
        child = await appears(tmp_path / "pid")
        for _ in range(cancellations):
            task.cancel()
            await asyncio.sleep(0.05)
        with pytest.raises(asyncio.CancelledError):
            await task
        return child

    child = asyncio.run(cancelled())
    assert until(lambda: not started(child)), "what it started goes on"


def test_when_its_caller_is_cancelled_while_it_starts_nothing_stays(tmp_path: Path) -> None:
    async def cancelled(ticks: int) -> None:
        task = asyncio.create_task(run("sh", "-c", 'sh -c "sleep 61; true" "$0" & wait', tmp_path))
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for ticks in range(0, 60, 3):
        asyncio.run(cancelled(ticks))
    own = os.fsencode(tmp_path)
    assert until(lambda: not [line for line in map(words_of, Path("/proc").iterdir()) if own in line])


def words_of(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:
        return b""


CALLS = """
import asyncio, sys
from runtime.command import run
asyncio.run(run("sh", "-c", 'echo $$ > "$0"; exec sleep 64', sys.argv[1]))
"""


def test_it_dies_with_the_daemon_that_is_killed(tmp_path: Path) -> None:
    async def killed() -> int:
        words = (sys.executable, "-c", CALLS, tmp_path / "pid")
        pid = await detach(*words, log=tmp_path / "log", environment={"PYTHONPATH": str(HOUSE)})
        command = await appears(tmp_path / "pid")
        assert started(command)
        os.kill(pid, signal.SIGKILL)
        return command

    command = asyncio.run(killed())
    assert until(lambda: not started(command)), "the command goes on without its daemon"


def test_many_at_once() -> None:
    async def many() -> list[str]:
        return await asyncio.gather(*(run("sh", "-c", f"sleep 0.2; echo {number}") for number in range(20)))

    before = time.monotonic()
    assert asyncio.run(many()) == [f"{number}\n" for number in range(20)]
    assert time.monotonic() - before < 3.5, "one after the other they take at least four seconds"


def test_much_output_and_much_input_do_not_wait_for_each_other() -> None:
    text = "x" * 1_000_000
    assert asyncio.run(run("tee", "/dev/stderr", input=text, within=20)) == text
