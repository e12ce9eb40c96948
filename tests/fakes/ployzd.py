"""A daemon for tests of ctl: real HTTP on a Unix socket, playing the scenes that a test wrote down."""

import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from daemon import wire

Line = msgspec.Struct | bytes


class Talk:
    """One call being answered: what was asked, and the lines that follow it in both directions."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._file = connection, connection.makefile("rb")
        self.headers = self._headers()
        self.chunked = self.headers.get("transfer-encoding") == "chunked"
        text = self._chunk() if self.chunked else self._file.read(int(self.headers["content-length"]))
        self.call = msgspec.json.decode(text, type=wire.Call)

    def _headers(self) -> dict[str, str]:
        self.request_line = self._file.readline().decode().strip()
        assert self.request_line == "POST /v1/call HTTP/1.1", f"asked {self.request_line!r}"
        lines = iter(self._file.readline, b"\r\n")
        return {name.lower(): value.strip() for name, _, value in (line.decode().partition(":") for line in lines)}

    def _chunk(self) -> bytes:
        data = self._file.read(int(self._file.readline(), 16))
        self._file.readline()
        return data

    def inputs(self) -> Iterator[wire.Input]:
        """What follows an Exec call, until its end."""
        while data := self._chunk():
            yield msgspec.json.decode(data, type=wire.Input)

    def begin(self, *, status: int = 200, version: str | None = str(wire.VERSION)) -> None:
        mine = f"Ployz-Version: {version}\r\n" if version else ""
        head = (
            f"HTTP/1.1 {status} said\r\nContent-Type: application/x-ndjson\r\n{mine}Transfer-Encoding: chunked\r\n\r\n"
        )
        self._connection.sendall(head.encode())

    def say(self, *lines: Line) -> None:
        for line in lines:
            data = line if isinstance(line, bytes) else wire.encode(line)
            self._connection.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self._connection.sendall(b"0\r\n\r\n")

    def close(self) -> None:
        """Go away: at the end of a scene, or in its middle, as a daemon does that is killed."""
        self._file.close()

    def wait_for_hangup(self) -> None:
        assert self._file.read(1) == b""


Scene = Callable[[Talk], None]


def answering(*lines: Line, **how: Any) -> Scene:
    """The scene of a daemon that says these lines."""

    def scene(talk: Talk) -> None:
        talk.begin(**how)
        talk.say(*lines)
        talk.end()

    return scene


class Daemon:
    """Listens, plays one scene a connection, and remembers what was asked. `problems` are failures of scenes."""

    def __init__(self, scenes: tuple[Scene, ...], folder: Path) -> None:
        self.socket = str(folder / "s")
        self.talks: list[Talk] = []
        self.problems: list[BaseException] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.socket)
        self._listener.listen()
        self._scenes = scenes
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        for scene in self._scenes:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # the test is over, and did not call so often
            thread = threading.Thread(target=self._play, args=(scene, connection))
            self._threads.append(thread)
            thread.start()

    def _play(self, scene: Scene, connection: socket.socket) -> None:
        try:
            with connection, closing(Talk(connection)) as talk:
                self.talks.append(talk)
                scene(talk)
        except BrokenPipeError:
            pass  # who has heard enough may go
        except BaseException as problem:  # noqa: BLE001 (a thread's failure is the test's)
            self.problems.append(problem)

    def asked(self) -> list[wire.Request]:
        return [talk.call.request for talk in self.talks]

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)
        assert not self.problems, self.problems


@contextmanager
def daemon(*scenes: Scene) -> Iterator[Daemon]:
    """A daemon that plays these scenes, one for each connection, in a folder whose path is short enough."""
    folder = Path(tempfile.mkdtemp(prefix="p"))
    playing = Daemon(scenes, folder)
    try:
        yield playing
    finally:
        shutil.rmtree(folder)
        playing.close()


def document(text: str) -> dict[str, Any]:
    """The one JSON document that a text is."""
    assert text.count("\n") == 1
    assert text.endswith("\n")
    found = json.loads(text)
    assert isinstance(found, dict)
    return found
