"""The program at the root of every instance on the host: its supervisor, or the first moment of a command in it.

`inside.py supervise FOLDER DOOR` runs in an instance's namespaces: it joins the control group whose `cgroup.procs`
is DOOR, waits until the daemon says that everything is prepared, and then runs the command, writes its log, and
starts it again when it fails. It lives as long as the instance, with or without a daemon. `inside.py enter FD` reads
what it is to become from a descriptor. It runs by its path, with the standard library and two
neighbours alone, so that it stays small.
"""

import fcntl
import json
import os
import select
import signal
import sys
import termios
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # by its path, and what it needs lies beside it
    sys.path.append(str(Path(__file__).parents[2]))

from runtime.host.becoming import become
from runtime.host.libc import make_read_only, stand_apart

PIECE = 16 * 1024
FIRST_PAUSE, LONGEST_PAUSE, CALM = 0.1, 60.0, 10.0
"""Seconds before the first restart, at most, and that a run must last for the pauses to begin anew."""
PATIENCE = 30.0
"""Seconds that the daemon may take to begin preparing."""
NOT_FOUND = 127


def now() -> str:
    """RFC 3339 UTC with nine digits, always of one length."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


class Log:
    """`log` in the current folder, lines of `<time> <stream> <F or P, a part> <text>`, and `log.1` before it.

    Each of the two has at most `largest` bytes.
    """

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.fd = self._opened()
        self.size = os.fstat(self.fd).st_size
        self.open_lines: dict[str, bytes] = {}

    def feed(self, stream: str, data: bytes) -> None:
        """What came; a line is written when it is whole, or long."""
        *lines, rest = (self.open_lines.pop(stream, b"") + data).split(b"\n")
        for line in lines:
            self._write(stream, b"F", line)
        while len(rest) >= PIECE:
            self._write(stream, b"P", rest[:PIECE])
            rest = rest[PIECE:]
        self.open_lines[stream] = rest

    def end(self) -> None:
        """Nothing more comes: what is left is a line."""
        for stream, rest in self.open_lines.items():
            if rest:
                self._write(stream, b"F", rest)
        self.open_lines.clear()

    def _write(self, stream: str, kind: bytes, text: bytes) -> None:
        line = b"%s %s %s %s\n" % (now().encode(), stream.encode(), kind, text)
        try:
            if self.size + len(line) > self.largest:
                self._turn_over()
            os.write(self.fd, line)
        except OSError:
            return  # the disk is full: the instance goes on without its log
        self.size += len(line)

    def _turn_over(self) -> None:
        os.replace("log", "log.1")
        os.close(self.fd)
        self.fd, self.size = self._opened(), 0

    def _opened(self) -> int:
        return os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


class Supervisor:
    """One instance: `settings` is what to run, `door` its control group's `cgroup.procs`."""

    def __init__(self, settings: dict[str, Any], door: Path) -> None:
        self.settings, self.log = settings, Log(settings["log"])
        self.doors = {door, *map(Path, settings["doors"])}
        self.state: dict[str, Any] = {"status": "waiting", "supervisor": os.getpid(), "restarts": 0}
        self.child, self.asked_to_end = 0, False
        self.wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGTERM, self._asked)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _asked(self, *_: object) -> None:
        self.asked_to_end = True
        if self.child:
            os.kill(self.child, signal.SIGTERM)

    def tell(self, **news: Any) -> None:
        """Write down how it goes; for who looks, and for who comes after us."""
        self.state |= news
        with open("state.new", "w") as file:
            json.dump(self.state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace("state.new", "state.json")

    def prepared(self) -> bool:
        """Wait for the words of the daemon. Without them, nothing runs: what was begun goes with us.

        From the first one on, that it has begun, its end is told by the line: that takes as long as it takes.
        """
        fd = os.open("go", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.tell()
        begun = self._word(fd, PATIENCE * 1000)
        word = self._word(fd, None) if begun else b""
        os.close(fd)
        return word == b"g" and not self.asked_to_end

    def _word(self, fd: int, within: float | None) -> bytes:
        """The next one; none where the daemon has hung up, somebody asks us to end, or time (milliseconds) is up."""
        poll = select.poll()
        for each in (fd, self.wake):
            poll.register(each, select.POLLIN)
        return os.read(fd, 1) if fd in dict(poll.poll(within)) else b""

    def supervise(self) -> int:
        """Run the command until it ends for good; its last exit code."""
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            kills = _kills(self.settings["kills"])
            code = self._once()
            self.tell(out_of_memory=_kills(self.settings["kills"]) > kills)
            if self.asked_to_end or code == 0 or not self.settings["survives"] or self.state["status"] == "failed":
                return code
            pause = FIRST_PAUSE if time.monotonic() - began >= CALM else pause
            self.tell(status="restarting", restarts=self.state["restarts"] + 1)
            self._sleep(pause)
            if self.asked_to_end:
                return code
            pause = min(pause * 2, LONGEST_PAUSE)

    def end(self, code: int) -> int:
        if self.state["status"] != "failed":
            self.tell(status="stopped")
        return code

    def _once(self) -> int:
        streams = {"stdout": os.pipe2(os.O_CLOEXEC), "stderr": os.pipe2(os.O_CLOEXEC)}
        news, telling = os.pipe2(os.O_CLOEXEC)
        self.child = os.fork()
        if self.child == 0:
            signal.set_wakeup_fd(-1)
            self._launch(streams["stdout"][1], streams["stderr"][1], telling)
        for fd in (streams["stdout"][1], streams["stderr"][1], telling):
            os.close(fd)
        problem = _drain(news).decode()  # ends when the program has taken the child's place
        self._told_of_start(problem)
        code = self._until_it_ends({fd: name for name, (fd, _) in streams.items()})
        self.tell(exit=code, finished_at=now(), pid=None)
        return code

    def _told_of_start(self, problem: str) -> None:
        if not problem:
            self.tell(status="running", pid=self.child, started_at=now())
        elif "started_at" not in self.state:
            self.tell(status="failed", why=problem)
        else:
            self.log.feed("stderr", problem.encode() + b"\n")
        if self.asked_to_end:
            os.kill(self.child, signal.SIGTERM)

    def _launch(self, out: int, error: int, telling: int) -> None:
        """In the child: become the program, or say why not."""
        try:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(error, 2)
            become(self.settings)
        except (OSError, LookupError) as failure:
            os.write(telling, str(failure).encode())
        os._exit(NOT_FOUND)

    def _until_it_ends(self, readers: dict[int, str]) -> int:
        """Write what it says. When the first process has ended, so must all that it started."""
        poll, code = select.poll(), None
        for fd in (*readers, self.wake):
            poll.register(fd, select.POLLIN)
        while code is None or readers:
            for fd, _ in poll.poll():
                if fd == self.wake:
                    os.read(fd, 4096)
                elif data := os.read(fd, 4 * PIECE):
                    self.log.feed(readers[fd], data)
                else:
                    poll.unregister(fd)
                    os.close(fd)
                    del readers[fd]
            if code is None and (code := self._buried()) is not None:
                self._end_the_rest()
        self.log.end()
        return code

    def _buried(self) -> int | None:
        ended = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return ended
            if pid == 0:
                return ended
            if pid == self.child:
                self.child, found = 0, os.waitstatus_to_exitcode(status)
                ended = found if found >= 0 else 128 - found

    def _end_the_rest(self) -> None:
        """As in a container, nothing outlives the first process."""
        while rest := {int(pid) for door in self.doors for pid in _read(door).split()} - {0, os.getpid()}:
            for pid in rest:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.005)
            self._buried()

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.asked_to_end and (left := until - time.monotonic()) > 0:
            if select.select([self.wake], [], [], left)[0]:
                os.read(self.wake, 4096)


def _kills(file: str | None) -> int:
    """How many processes the kernel has ended because their group took too much memory."""
    words = _read(Path(file)).split() if file else []
    return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def _drain(fd: int) -> bytes:
    data = b""
    while piece := os.read(fd, PIECE):
        data += piece
    os.close(fd)
    return data


def supervise(folder: str, door: str) -> int:
    """Be the supervisor of the instance of that folder, unless it has one; 0 when there is nothing to do."""
    try:
        stand_apart(folder)  # and all names below are relative: the folder is about to be hidden here
        Path(door).write_text("0")  # if the group is gone, so is the wish for this instance
        held = os.open("held", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        settings = json.loads(Path("run.json").read_text())
        if settings["supervisor"]:
            os.makedirs(settings["supervisor"], exist_ok=True)
            (Path(settings["supervisor"]) / "cgroup.procs").write_text("0")
    except (FileNotFoundError, BlockingIOError):
        return 0
    supervisor = Supervisor(settings, Path(door))
    if not supervisor.prepared():
        return 0
    if settings["read_only"] is not None:
        try:
            make_read_only(settings["read_only"])
        except OSError as failure:
            supervisor.tell(status="failed", why=f"its root cannot be made read-only: {failure}")
            return NOT_FOUND
    return supervisor.end(supervisor.supervise())


def enter(fd: int) -> int:
    """Become a command in the instance whose namespaces this process is in already."""
    settings = json.loads(_drain(fd))
    try:
        if settings["terminal"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        become(settings)
    except (OSError, LookupError) as failure:
        os.write(2, f"{failure}\n".encode())
    return NOT_FOUND


if __name__ == "__main__":
    sys.exit(supervise(*sys.argv[2:]) if sys.argv[1] == "supervise" else enter(int(sys.argv[2])))
