"""`ployzd dev`: one request about local clusters as a line on stdin, its answer as lines on stdout."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from daemon.dev.cluster import ROOT, Site
from daemon.dev.requests import serve
from daemon.wire import EXIT, DevRequest, Error, Event, Failure, Problem, Success, TakenBack, encode

PLOYZD = (sys.executable, "-P", "-m", "daemon")


def answer(stdin: BinaryIO, stdout: BinaryIO) -> int:
    """Read one DevRequest, write Events and then one Success or Failure, and return the exit code.

    `PLOYZ_DEV_DIR` names the folder that clusters are kept in. SIGTERM, SIGINT, and a reader that went away
    take back what was being made.
    """
    root = Path(os.environ.get("PLOYZ_DEV_DIR") or ROOT)
    root = Path(os.path.realpath(root))
    return respond(stdin.readline(), stdout, Site(root, PLOYZD))


def respond(line: bytes, stdout: BinaryIO, site: Site) -> int:
    """The same for a request that was read, at a site."""
    reader = Reader(stdout)
    end = asyncio.run(_ending(line, reader, site))
    reader.take(end)
    return EXIT[end.error.state] if isinstance(end, Failure) else 0


@dataclass
class Reader:
    """Whoever reads the answer; may go away."""

    stdout: BinaryIO
    away: bool = False

    def take(self, line: msgspec.Struct) -> None:
        """Write a line, unless nobody reads any more."""
        try:
            if not self.away:
                self.stdout.write(encode(line))
                self.stdout.flush()
        except BrokenPipeError:
            self.away = True


async def _ending(line: bytes, reader: Reader, site: Site) -> Success | Failure:
    interrupt = _interruptible()

    def tell(event: Event) -> None:
        before = reader.away
        reader.take(event)
        if reader.away and not before:
            interrupt()

    try:
        return await serve(msgspec.json.decode(line, type=DevRequest), tell, site)
    except msgspec.MsgspecError as error:
        return Failure(Error("request.invalid", "refused", "cannot understand the request", str(error)))
    except Problem as problem:
        return Failure(problem.error)
    except asyncio.CancelledError:
        return Failure(TakenBack("dev.interrupted", "the command was interrupted", "what it began was ended").error)


def _interruptible() -> Callable[[], object]:
    """Let signals interrupt the task that calls this; return what else may."""
    task = asyncio.current_task()
    assert task
    for interruption in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(interruption, task.cancel)
    return task.cancel
