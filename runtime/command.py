"""Run external commands. The only place in the house where a process is started.

Commands are argv lists with a fixed environment and a closed stdin; there are no shells and no pipelines.
Data that is too much to hold goes from one command to the next through descriptors: each of them is a `flow` of its
own, whose exit is checked.
A command started by `run` or `flow` never outlives the daemon: it is killed with its whole group when its time is up or
its caller is cancelled, and by the kernel (PR_SET_PDEATHSIG, prctl(2)) when the daemon itself is killed. The kernel
kills only the command, not what the command started: give `run` programs that do their work themselves, no scripts.
"""

import asyncio
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/",
}
PIPE = asyncio.subprocess.PIPE
PIPES = (PIPE, PIPE, PIPE)
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")


class CommandError(Exception):
    """A command did not do what it was started for."""


@dataclass
class CommandFailed(CommandError):
    """The command ended with an exit code that its caller did not expect."""

    argv: tuple[str, ...]
    code: int
    out: str
    error: str

    def __str__(self) -> str:
        said = self.error.strip() or self.out.strip() or "it said nothing"
        return f"`{shlex.join(self.argv)}` exited with {self.code}: {said}"


@dataclass
class CommandTimedOut(CommandError):
    """The command was still running after `within` seconds and was killed with its group."""

    argv: tuple[str, ...]
    within: float

    def __str__(self) -> str:
        return f"`{shlex.join(self.argv)}` did not end within {self.within:g} seconds and was killed"


@dataclass
class CommandMissing(CommandError):
    """There is no such program on this machine."""

    program: str

    def __str__(self) -> str:
        return f"the program {self.program} is not installed"


@dataclass(frozen=True)
class Finished:
    """How a command ended: its exit code and all it wrote."""

    code: int
    out: str
    error: str


async def run(*argv: str | Path, input: str = "", within: float = 60.0, may_exit: Sequence[int] = (0,)) -> str:
    """Return what the command wrote to stdout.

    Raises CommandFailed unless it exits with one of `may_exit`, CommandTimedOut after `within` seconds, and
    CommandMissing where there is no such program.
    """
    return (await finish(*argv, input=input, within=within, may_exit=may_exit)).out


async def finish(*argv: str | Path, input: str = "", within: float = 60.0, may_exit: Sequence[int] = (0,)) -> Finished:
    """Like `run`, for callers to whom the exit code among `may_exit` means something."""
    command = tuple(os.fspath(word) for word in argv)
    process = await _start(command)
    try:
        async with asyncio.timeout(within):
            out, error = await process.communicate(input.encode())
    except TimeoutError:
        await _end(process)
        raise CommandTimedOut(command, within) from None
    except BaseException:
        await _end(process)
        raise
    code = process.returncode or 0
    told = Finished(code, out.decode(errors="replace"), error.decode(errors="replace"))
    if code == 127 and f"failed to execute {command[0]}" in told.error:
        raise CommandMissing(command[0])
    if code not in may_exit:
        raise CommandFailed(command, code, told.out, told.error)
    return told


@dataclass
class CommandStalled(CommandError):
    """No byte went through the command for `idle` seconds, and it was killed with its group."""

    argv: tuple[str, ...]
    idle: float

    def __str__(self) -> str:
        return f"`{shlex.join(self.argv)}` moved no byte for {self.idle:g} seconds and was killed"


async def flow(*argv: str | Path, source: int | None = None, sink: int | None = None, idle: float = 300.0) -> str:
    """Run a command that reads `source` and writes `sink`, to its end; both descriptors are taken over and closed.

    Returns what it said besides, for there are programs that complain and exit with 0.

    Raises CommandFailed unless it exits with 0, CommandStalled when nothing moves, and CommandMissing.
    """
    command = tuple(os.fspath(word) for word in argv)
    try:
        process = await _start(command, (PIPE if source is None else source, PIPE if sink is None else sink, PIPE))
    finally:
        for descriptor in (source, sink):
            if descriptor is not None:
                os.close(descriptor)
    try:
        error = await _moving(process, command, idle)
    except BaseException:
        await _end(process)
        raise
    if process.returncode == 127 and f"failed to execute {command[0]}" in error:
        raise CommandMissing(command[0])
    if process.returncode:
        raise CommandFailed(command, process.returncode, "", error)
    return error


async def _moving(process: asyncio.subprocess.Process, command: tuple[str, ...], idle: float) -> str:
    """Wait for its end while bytes move; return what it complained about."""
    told = asyncio.ensure_future(process.communicate())
    try:
        moved = -1
        while not (await asyncio.wait({told}, timeout=idle))[0]:
            if moved == (moved := _moved(process.pid)):
                raise CommandStalled(command, idle)
        return (await told)[1].decode(errors="replace")
    finally:
        told.cancel()


def _moved(pid: int) -> int:
    """Bytes that a process has read and written, as proc(5) tells it."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return -1
    return sum(int(line.split()[1]) for line in lines if line.startswith(("rchar", "wchar")))


async def detach(
    *argv: str | Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> int:
    """Start a process that outlives the daemon, in a session of its own, and return its pid.

    What it writes is appended to `log`. Raises CommandMissing where there is no such program.
    """
    command = tuple(os.fspath(word) for word in argv)
    with log.open("ab") as file:
        try:
            process = await asyncio.to_thread(
                subprocess.Popen[bytes],
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**ENVIRONMENT, **(environment or {})},
                start_new_session=True,
                pass_fds=pass_fds,
            )
        except FileNotFoundError:
            raise CommandMissing(command[0]) from None
    # Not asyncio's subprocess: from Python 3.12 on, its transport kills the process when the loop closes.
    threading.Thread(target=process.wait, name=f"reap {process.pid}", daemon=True).start()
    return process.pid


@dataclass(frozen=True)
class Conversation:
    """A running command that somebody talks to. It leads a process group, which `end` kills; it dies with the daemon.

    With a terminal, `terminal` is the descriptor of our side of it, and the process has no pipes.
    """

    process: asyncio.subprocess.Process
    terminal: int | None = None

    async def end(self) -> int:
        """Kill its group, unless it has ended, and bury it; its exit code (below zero: the signal)."""
        if self.process.returncode is None:
            _signal_group(self.process.pid, signal.SIGKILL)
        return await self.process.wait()


async def converse(*argv: str | Path, pass_fds: Sequence[int] = (), terminal: bool = False) -> Conversation:
    """Start a command with its streams open. With a terminal it has still to take it as its controlling one."""
    command = tuple(os.fspath(word) for word in argv)
    if not terminal:
        return Conversation(await _start(command, PIPES, pass_fds))
    ours, theirs = os.openpty()
    try:
        return Conversation(await _start(command, (theirs, theirs, theirs), pass_fds), ours)
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)


async def _start(
    command: tuple[str, ...], streams: tuple[int, int, int] = PIPES, pass_fds: Sequence[int] = ()
) -> asyncio.subprocess.Process:
    """A caller that is cancelled waits for the start, to take all of it down: asyncio would kill only the command."""
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *DIES_WITH_US,
            *command,
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            env=ENVIRONMENT,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    )
    try:
        await _to_its_end(starting)
    except asyncio.CancelledError:
        await _end(starting.result())
        raise
    return starting.result()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Take the whole group down."""
    await _to_its_end(asyncio.ensure_future(_take_down(process)))


async def _to_its_end(effort: asyncio.Future[Any]) -> None:
    """Wait for it, however often the caller is cancelled meanwhile; such a cancellation is raised afterwards."""
    cut = None
    while not effort.done():
        try:
            await asyncio.shield(effort)
        except asyncio.CancelledError as cancelled:
            cut = cancelled
    if cut:
        raise cut


async def _take_down(process: asyncio.subprocess.Process) -> None:
    """Wait until it is gone: a late effect would outlive its undo. Its children are killed, also when it left them."""
    for way in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            _signal_group(process.pid, way)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), timeout=5)
    _signal_group(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            await process.communicate()  # its pipes are closed once nobody is left who holds them


def _signal_group(group: int, way: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, way)
