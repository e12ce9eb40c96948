"""The program that lets instances go on whose daemon died while they stood still: `thaw.py FD`.

FD is one end of a line whose other end only the daemon has. It tells on it, as a line of JSON, what stands still:
containers of which engine, control groups of processes. While the line is open there is nothing to do. Is it closed
without the word that all is well again, the daemon is dead. It runs by its path with the standard library alone, so
that it is there soon and needs nothing that may be broken.
"""

import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

READY, WELL = b"r", b"w"
PATIENCE = 120.0
"""Seconds that an engine may be away: it may be on its way back too."""
TRY_AGAIN = 0.2
WITHIN = 10.0


class Line(HTTPConnection):
    """A connection to an engine's socket."""

    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=WITHIN)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(WITHIN)
        self.sock.connect(self.path)


def main(fd: int) -> None:
    # Whoever ends the daemon's processes ends this one last: its line is what tells.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(fileno=fd) as line, line.makefile("rb") as told:
        still = json.loads(told.readline())
        line.sendall(READY)
        if told.read(1) == WELL:
            return
    for group in still["groups"]:
        go_on(Path(group))
    until = time.monotonic() + PATIENCE
    waiting = list(still["containers"])
    while waiting and time.monotonic() < until:
        waiting = [name for name in waiting if not unpaused(still["engine"], name)]
        time.sleep(TRY_AGAIN if waiting else 0)


def go_on(group: Path) -> None:
    """Every process in the group and below it."""
    for file in group.rglob("cgroup.procs"):
        with suppress(OSError):
            for pid in file.read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGCONT)


def unpaused(engine: str, container: str) -> bool:
    """Ask for it, if it is paused. Whether it is so that it is not, or not there."""
    try:
        if not paused(engine, container):
            return True
        asked(engine, "POST", f"/containers/{container}/unpause")
        return not paused(engine, container)
    except (OSError, HTTPException, ValueError) as problem:
        sys.stderr.write(f"cannot let {container} go on: {problem}\n")
        return False


def paused(engine: str, container: str) -> bool:
    status, said = asked(engine, "GET", f"/containers/{container}/json")
    return status != 404 and bool(json.loads(said)["State"]["Paused"])


def asked(engine: str, method: str, path: str) -> tuple[int, bytes]:
    line = Line(engine)
    try:
        line.request(method, path)
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
