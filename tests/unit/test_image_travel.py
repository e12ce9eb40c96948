"""What an engine saves of an image: looked into, made anew without some layers, and given up in the middle."""

import asyncio
import io
import json
import socketserver
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from runtime.engine import Engine
from runtime.image_archive import archive, diff_ids, opened
from runtime.image_giving import Giving
from runtime.image_taking import shared
from runtime.instance import EngineProblem, ImageBroken

LAYERS = (b"lowest" * 1000, b"next", b"")


def saved(*entries: tuple[str, bytes] | tuple[str, str]) -> io.BytesIO:
    """An archive of files, and of links where text says to what."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return buffer


def manifest(*layers: str) -> tuple[str, bytes]:
    return "manifest.json", json.dumps([{"Config": "ab.json", "RepoTags": None, "Layers": layers}]).encode()


def test_an_archive_made_anew_is_the_same_without_what_is_there() -> None:
    sizes, rest = [len(layer) for layer in LAYERS], io.BytesIO(b"".join(LAYERS[1:]))
    made = b"".join(archive(b"{}", sizes, 1, lambda size: iter([rest.read(size)])))
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        content = {name: tar.extractfile(name) for name in tar.getnames()}
        files = {name: file.read() for name, file in content.items() if file}
    [told] = json.loads(files["manifest.json"])
    assert told["Layers"] == ["0.tar", "1.tar", "2.tar"]
    assert {name: files.get(name) for name in told["Layers"]} == {"0.tar": None, "1.tar": b"next", "2.tar": b""}
    assert files[told["Config"]] == b"{}"


def test_a_layer_that_is_there_twice_is_found_twice() -> None:
    file = saved(
        ("a/layer.tar", b"some"),
        ("b/layer.tar", "../a/layer.tar"),
        ("ab.json", b"{}"),
        manifest("a/layer.tar", "b/layer.tar"),
    )
    found = opened(file)
    assert found.config == b"{}"
    for piece in found.layers:
        file.seek(piece.offset)
        assert file.read(piece.bytes) == b"some"
    assert len(found.layers) == 2


@pytest.mark.parametrize(
    "file",
    [
        io.BytesIO(b"rubbish" * 1000),
        saved(("ab.json", b"{}")),
        saved(manifest("a/layer.tar"), ("ab.json", b"{}")),
        saved(manifest("a"), ("a", "/etc/passwd"), ("ab.json", b"{}")),
        saved(manifest("a"), ("a", "b"), ("b", "a"), ("ab.json", b"{}")),
    ],
    ids=["no archive", "no manifest", "no layer", "a layer elsewhere", "a link to a link"],
)
def test_what_is_no_image_is_understood_by_nobody(file: io.BytesIO) -> None:
    with pytest.raises(EngineProblem, match="cannot understand the image"):
        opened(file)


@pytest.mark.parametrize("config", [b"", b"[]", b'{"rootfs": null}', b'{"rootfs": {"diff_ids": 1}}'])
def test_a_description_of_no_image_is_told(config: bytes) -> None:
    with pytest.raises(ImageBroken, match="describes no image"):
        diff_ids(config)


def test_a_layer_counts_as_there_only_with_all_below_it() -> None:
    assert shared(["a", "b", "c"], []) == 0
    assert shared(["a", "b", "c"], [["b", "c"], ["a", "c"]]) == 1
    assert shared(["a", "b"], [["a"], ["a", "b", "c"]]) == 2


@contextmanager
def endless(path: Path) -> Iterator[threading.Event]:
    """An engine that saves an image without an end; the event tells that it began."""
    began, over = threading.Event(), threading.Event()

    class OneRequest(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline()
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            version = b'{"ApiVersion":"1.41"}'
            if b"/version" in line:
                self.wfile.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n" + version
                )
            elif line:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while not over.wait(0.01):
                    self.wfile.write(b"4\r\nmore\r\n")
                    began.set()

    class Server(socketserver.ThreadingUnixStreamServer):
        def handle_error(self, request: object, address: object) -> None:
            """The client had hung up: it gave up."""

    with Server(str(path), OneRequest) as server:
        thread = threading.Thread(target=partial(server.serve_forever, 0.05))
        thread.start()
        try:
            yield began
        finally:
            over.set()
            server.shutdown()
            thread.join()


def test_an_offer_that_is_given_up_waits_for_no_more_of_the_image(tmp_path: Path) -> None:
    async def scenario(began: threading.Event, engine: Engine) -> None:
        offering = asyncio.create_task(Giving(engine, "127.0.0.1", tmp_path).offer("sha256:ab", current=True))
        assert await asyncio.to_thread(began.wait, 5)
        offering.cancel()
        done, _ = await asyncio.wait({offering}, timeout=5)
        assert done, "it is still being saved"
        assert offering.cancelled()

    with endless(tmp_path / "s") as began:
        engine = Engine(tmp_path / "s")
        asyncio.run(scenario(began, engine))
        engine.close()
