"""The program at the root of every instance on the host: its supervisor, or the first moment of a command in it.

`inside.py supervise FOLDER DOOR` runs in an instance's namespaces: it joins the control group whose `cgroup.procs`
is DOOR, waits until the daemon says that everything is prepared, and then runs the command, writes its log, and
starts it again when it fails. It lives as long as the instance, with or without a daemon. `inside.py enter FD` reads
what it is to become from a descriptor. It runs by its path with the standard library alone, so that it stays small.
"""

import ctypes
import fcntl
import grp
import json
import os
import pwd
import select
import signal
import sys
import termios
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PIECE = 16 * 1024
LARGEST_LOG = 50_000_000
"""Bytes of a log file before it is turned over; one older file is kept."""
FIRST_PAUSE, LONGEST_PAUSE, CALM = 0.1, 60.0, 10.0
"""Seconds before the first restart, at most, and that a run must last for the pauses to begin anew."""
PATIENCE = 30.0
"""Seconds that the daemon may take to begin preparing."""
PR_SET_PDEATHSIG = 1
NOT_FOUND = 127


def now() -> str:
    """RFC 3339 UTC with nine digits, always of one length."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


class Log:
    """`log` in the current folder, lines of `<time> <stream> <F or P, a part> <text>`, and `log.1` before it."""

    def __init__(self) -> None:
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
            if self.size + len(line) > LARGEST_LOG:
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
        self.settings, self.door, self.log = settings, door, Log()
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
        """Wait for the word of the daemon. Without it, nothing runs: what was begun goes with us."""
        fd = os.open("go", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.tell()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        came = poll.poll(PATIENCE * 1000)
        word = os.read(fd, 1) if came else b""
        os.close(fd)
        return word == b"g" and not self.asked_to_end

    def supervise(self) -> int:
        """Run the command until it ends for good; its last exit code."""
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            code = self._once()
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
        while rest := {int(pid) for pid in self.door.read_text().split()} - {0, os.getpid()}:
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


def become(settings: dict[str, Any]) -> None:
    """Take on user, folder and environment, and become the command. Raises OSError, LookupError."""
    argv, env = settings["argv"], settings["env"]
    uid, gid, groups, home = identity(settings.get("user"))
    os.chdir(settings.get("workdir") or "/")
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if settings.get("dies_with_us"):
        # After the change of user, which forgets it (prctl(2)).
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGPIPE, signal.SIGTERM, signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    environment = {"HOME": home, **env}
    try:
        os.execvpe(argv[0], argv, environment)
    except OSError as failure:
        raise OSError(f"cannot run {argv[0]}: {failure.strerror}") from failure


def identity(user: str | None) -> tuple[int, int, list[int], str]:
    """uid, gid, further groups and home of `name`, `uid`, `name:group` or `uid:gid`. Raises LookupError."""
    name, _, group = (user or "0").partition(":")
    if name.isdigit():
        found = next((each for each in pwd.getpwall() if each.pw_uid == int(name)), None)
        uid, gid, home = int(name), found.pw_gid if found else 0, found.pw_dir if found else "/"
    else:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            raise LookupError(f"this machine has no user {name}") from None
        uid, gid, home = found.pw_uid, found.pw_gid, found.pw_dir
    if group:
        return uid, _gid(group), [_gid(group)], home
    return uid, gid, os.getgrouplist(found.pw_name, gid) if found else [gid], home


def _gid(group: str) -> int:
    if group.isdigit():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise LookupError(f"this machine has no group {group}") from None


def _drain(fd: int) -> bytes:
    data = b""
    while piece := os.read(fd, PIECE):
        data += piece
    os.close(fd)
    return data


def supervise(folder: str, door: str) -> int:
    """Be the supervisor of the instance of that folder, unless it has one; 0 when there is nothing to do."""
    try:
        os.chdir(folder)  # and all names below are relative: the folder is about to be hidden here
        Path(door).write_text("0")  # if the group is gone, so is the wish for this instance
        held = os.open("held", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        settings = json.loads(Path("run.json").read_text())
    except (FileNotFoundError, BlockingIOError):
        return 0
    supervisor = Supervisor(settings, Path(door))
    if not supervisor.prepared():
        return 0
    return supervisor.end(supervisor.supervise())


def enter(fd: int) -> int:
    """Become a command in the instance whose namespaces this process is in already."""
    settings = json.loads(_drain(fd))
    try:
        Path(settings["door"]).write_text("0")
        if settings["terminal"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        become(settings)
    except (OSError, LookupError) as failure:
        os.write(2, f"{failure}\n".encode())
    return NOT_FOUND


if __name__ == "__main__":
    sys.exit(supervise(*sys.argv[2:]) if sys.argv[1] == "supervise" else enter(int(sys.argv[2])))
