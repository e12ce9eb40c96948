"""A proxy in front of an engine's socket that lies about the requests it is told to lie about."""

import contextlib
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, cast

Lie = Literal["nothing", "done and error", "error", "hang", "done and hang", "half", "done and half", "garbage"]
GIVES_UP = 20.0


@dataclass
class Liar:
    """Lies by `lie` about requests whose method and path match `about`; `heard` tells that there was one."""

    path: Path
    engine: Path
    about: str = ""
    lie: Lie | None = None
    over: threading.Event = field(default_factory=threading.Event)
    heard: threading.Event = field(default_factory=threading.Event)

    def lies(self, lie: Lie | None, about: str) -> None:
        self.lie, self.about = lie, about
        self.heard.clear()

    def answer(self, request: bytes) -> bytes:
        """What the client gets; empty if the engine's answer is not waited for."""
        line = request.split(b"\r\n", 1)[0].decode()
        if not self.about or not re.match(self.about, line):
            return self.forward(request)
        self.heard.set()
        if self.lie is None:
            return self.forward(request)
        told = self.forward(request) if self.lie.startswith("done") else b""
        match self.lie.removeprefix("done and "):
            case "error":
                return response("500 Internal Server Error", b'{"message":"out of luck"}')
            case "hang":
                self.over.wait(GIVES_UP)
                return b""
            case "half":
                return (told or response("200 OK", b'{"Id":"0123456789", "Name":"/web"}'))[:-9]
            case "garbage":
                return response("200 OK", b'{"Id":7}')
        nothing = response("201 Created", b'{"Id":"0123456789","Warnings":[]}')
        return nothing if "/create" in line else response("204 No Content", b"")

    def forward(self, request: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(str(self.engine))
            engine.sendall(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            return b"".join(iter(lambda: engine.recv(65536), b""))


def response(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


@contextlib.contextmanager
def lying(engine: Path) -> Iterator[Liar]:
    liar = Liar(engine.with_name("liar"), engine)

    class OneRequest(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if request := _request(cast(BinaryIO, self.rfile)):
                self.wfile.write(liar.answer(request))

    class Server(socketserver.ThreadingUnixStreamServer):
        def handle_error(self, request: object, address: object) -> None:
            """The client had hung up: its time was over."""

    with Server(str(liar.path), OneRequest) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield liar
        finally:
            liar.over.set()
            server.shutdown()
            thread.join()
            liar.path.unlink()


def _request(file: BinaryIO) -> bytes:
    lines = []
    while (line := file.readline()) not in (b"\r\n", b""):
        if not line.lower().startswith(b"connection:"):
            lines.append(line)
    if not lines:
        return b""
    lengths = [int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:")]
    return b"".join(lines) + b"\r\n" + file.read(*lengths or [0])
