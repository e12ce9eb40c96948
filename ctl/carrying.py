"""The bytes of an operation, on a connection of their own beside the call: carried by a thread, shown as progress."""

import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from ctl.contexts import Place
from ctl.progress import Progress
from daemon.wire import VERSION, Event

HEAD = (
    "POST /v1/stream/{operation} HTTP/1.1\r\nHost: ployzd\r\nployz-version: {version}\r\n"
    "Connection: Upgrade\r\nUpgrade: ployz-stream\r\nContent-Length: 0\r\n\r\n"
)
AT_ONCE = 1 << 20
PERIOD = 0.5
"""Seconds between two looks at how many bytes have gone."""

Moved = Callable[[int], None]
Carry = Callable[[socket.socket, Moved], None]


class Carrier(threading.Thread):
    """Carries an operation's bytes once it is `start`ed; `moved` so far, of `total` where that is known.

    `carry` gets the connection, which nobody closes or shuts down before it returns. An OSError of it is kept, as
    `failure` or, where only the other end went away, as `gone`; then the connection is cut, so that the daemon takes
    the operation back.
    """

    def __init__(self, place: Place, operation: str, carry: Carry, total: int | None = None) -> None:
        super().__init__(name=f"stream of {operation}", daemon=True)
        self.moved, self.total, self.failure, self.gone = 0, total, "", ""
        self._place, self._operation, self._carry = place, operation, carry

    def run(self) -> None:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(self._place.socket)
                self._upgrade(connection)
                self._carry(connection, self._count)
        except ConnectionError as error:
            self.gone = str(error)
        except OSError as error:
            self.failure = str(error)

    def _upgrade(self, connection: socket.socket) -> None:
        """Byte by byte: what comes behind the head is not ours to take yet."""
        connection.sendall(HEAD.format(operation=self._operation, version=VERSION).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (byte := connection.recv(1)):
                raise ConnectionError("the daemon closed the stream")
            head += byte
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise ConnectionError("the daemon opens no stream")

    def _count(self, more: int) -> None:
        self.moved += more


class Carrying:
    """Progress of an operation that has a carrier, which starts once there is a plan; bytes are shown at its step."""

    period = PERIOD

    def __init__(self, shown: Progress, carrier: Carrier) -> None:
        self._shown, self._carrier = shown, carrier
        self._step: Event | None = None
        self._told = 0

    def event(self, event: Event) -> None:
        if event.kind == "planned" and not self._carrier.ident:
            self._carrier.start()
        self._step = event if event.kind == "doing" else None
        self._shown.event(event)

    def note(self, text: str) -> None:
        self._shown.note(text)

    def tick(self) -> None:
        if self._step and self._carrier.moved != self._told:
            self._told = self._carrier.moved
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            gone = msgspec.structs.replace(self._step, at=now, bytes=self._told, total=self._carrier.total)
            self._shown.event(gone)
        self._shown.tick()

    def close(self) -> None:
        self._shown.close()


def fetch(connection: socket.socket, write: Callable[[memoryview], int], moved: Moved) -> None:
    """Write all that comes."""
    block = memoryview(bytearray(AT_ONCE))
    while count := connection.recv_into(block):
        left = block[:count]
        while left:
            left = left[write(left) :]
        moved(count)


def deliver(connection: socket.socket, read: Callable[[memoryview], int], moved: Moved) -> None:
    """Send all that can be read, say that it was all, and wait until the daemon has it."""
    block = memoryview(bytearray(AT_ONCE))
    while count := read(block):
        connection.sendall(block[:count])
        moved(count)
    conclude(connection)


def conclude(connection: socket.socket) -> None:
    """Say that this was all: the end for writing, while the connection stays. Whoever is cut off cannot say so."""
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
