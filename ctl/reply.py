"""An HTTP/1.1 answer taken apart as its bytes arrive, into the lines of its body (RFC 9112).

The standard library's client reads whole answers and costs 17 ms to import; this needs neither a thread nor a wait.
"""

from collections.abc import Callable


class NotHttp(Exception):
    """What arrived is not an answer in HTTP/1.1."""


class Reply:
    """One answer: `feed` it bytes and it returns the complete lines of the body so far unseen."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.over = False
        self._bytes = bytearray()
        self._line = bytearray()
        self._left = 0
        self._next: Callable[[], bool] = self._head

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that are complete now, without their ends; raise NotHttp for what cannot be read."""
        self._bytes += data
        while not self.over and self._next():
            pass
        *lines, rest = self._line.split(b"\n")
        self._line = bytearray() if self.over else rest
        return [bytes(line) for line in ([*lines, rest] if self.over else lines) if line.strip()]

    def end(self) -> list[bytes]:
        """The connection has ended: return what is left where the end of it is the end of the answer."""
        self.over = self._next == self._all
        return self.feed(b"")

    def _head(self) -> bool:
        head, found, rest = self._bytes.partition(b"\r\n\r\n")
        if not found:
            return False
        first, *fields = head.decode("latin-1").split("\r\n")
        version, _, status = first.partition(" ")
        if not version.startswith("HTTP/1.") or not status[:3].isdigit():
            raise NotHttp(first)
        self.status = int(status[:3])
        pairs = (line.partition(":") for line in fields)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self._bytes = rest
        self._next = self._body()
        return True

    def _body(self) -> Callable[[], bool]:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            return self._size
        if length := self.headers.get("content-length"):
            self._left = int(length)
            return self._fixed
        return self._all

    def _fixed(self) -> bool:
        self._take()
        self.over = self._left == 0
        return False

    def _all(self) -> bool:
        self._left = len(self._bytes)
        self._take()
        return False

    def _size(self) -> bool:
        line, found, rest = self._bytes.partition(b"\r\n")
        if not found:
            return False
        try:
            self._left = int(line.partition(b";")[0], 16)
        except ValueError:
            raise NotHttp(line.decode("latin-1")) from None
        self._bytes = rest
        self._next = self._chunk
        self.over = self._left == 0
        return True

    def _chunk(self) -> bool:
        self._take()
        if self._left or len(self._bytes) < 2:
            return False
        del self._bytes[:2]
        self._next = self._size
        return True

    def _take(self) -> None:
        taken = min(self._left, len(self._bytes))
        self._line += self._bytes[:taken]
        del self._bytes[:taken]
        self._left -= taken


def chunk(data: bytes) -> bytes:
    """One chunk of a body; the empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(data), data)
