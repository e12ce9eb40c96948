"""One call to a daemon over its Unix socket: what is sent, and the lines that come back, without ever waiting."""

import socket
from typing import Self

from ctl import reply
from ctl.contexts import UNNAMED, Place
from ctl.lines import Line, decode, strange
from daemon.wire import VERSION, Call, Input, Problem, Refused, encode

HEAD = "POST /v1/call HTTP/1.1\r\nHost: ployzd\r\nployz-version: {version}\r\nConnection: close\r\n{body}\r\n\r\n"
WHOLE = "Content-Type: application/json\r\nContent-Length: {length}"
STREAM = "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked"
AT_ONCE = 65536


class Lost(Exception):
    """The connection ended before the answer did."""


class Connection:
    """A connection that carries one call. Wait for it with select(2): writable while it is `pending`."""

    def __init__(self, place: Place) -> None:
        """Raise Problem `daemon.unreachable` where nothing listens."""
        self.place = place
        self.pending = b""
        self._reply = reply.Reply()
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(place.socket)
        except OSError as error:
            self._socket.close()
            raise _unreachable(place, error) from None
        self._socket.settimeout(0)

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, call: Call) -> None:
        """Queue a call that is complete."""
        body = encode(call)
        head = HEAD.format(version=VERSION, body=WHOLE.format(length=len(body)))
        self.pending += head.encode() + body

    def open(self, call: Call) -> None:
        """Queue a call that lines of Input will follow."""
        head = HEAD.format(version=VERSION, body=STREAM)
        self.pending += head.encode() + reply.chunk(encode(call))

    def follow(self, line: Input) -> None:
        """Queue a line of Input; one that says `end` is the last."""
        self.pending += reply.chunk(encode(line)) + (reply.chunk(b"") if line.end else b"")

    def write(self) -> None:
        """Send what the socket takes now. A peer that has closed may have answered: what it said counts."""
        try:
            self.pending = self.pending[self._socket.send(self.pending) :]
        except BlockingIOError:
            return
        except OSError:
            self.pending = b""

    def read(self) -> list[Line]:
        """Return the lines that arrived; raise Lost if no more will come, and Problem for an answer of another kind."""
        try:
            data = self._socket.recv(AT_ONCE)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        lines = self._lines(data)
        if not lines and (not data or self._reply.over):
            raise Lost
        return lines

    def _lines(self, data: bytes) -> list[Line]:
        try:
            lines = self._reply.feed(data) if data else self._reply.end()
        except reply.NotHttp as error:
            raise strange(f"what listens on {self.place.socket} is not ployzd (it said {error})") from None
        if self._reply.status:
            self._check_version()
        return [decode(line) for line in lines]

    def _check_version(self) -> None:
        version = self._reply.headers.get("ployz-version")
        if version is None:
            raise strange(f"what listens on {self.place.socket} is not ployzd")
        if version != str(VERSION):
            why = f"ployzctl speaks version {VERSION} of the contract, and the daemon at {self.place.socket} {version}"
            raise Refused("version.mismatch", "cannot speak with the daemon", why, "install the same release of both")

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _unreachable(place: Place, error: OSError) -> Problem:
    hint = {UNNAMED: "ployzctl dev up makes a cluster on this machine"}.get(
        place.because, "ployzctl context ls shows which daemons are known; is ployzd running there?"
    )
    if isinstance(error, PermissionError):
        hint = "ask as root, or as a member of the group ployz"
    why = f"{place.socket} cannot be connected to ({place.because}): {error.strerror or error}"
    return Problem("daemon.unreachable", "cannot reach the daemon", why, hint)
