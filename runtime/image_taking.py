"""Taking an image from another machine: what came is the image only if its digest says so."""

import asyncio
import contextlib
import hashlib
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from docker.errors import NotFound

from runtime.engine import Engine
from runtime.image_archive import LARGEST_CONFIG, archive, diff_ids
from runtime.image_giving import CHUNK, SILENT
from runtime.instance import ImageBroken, Offer

LOADING = 600.0
"""Seconds that the engine may take to unpack what it was given."""
LONGEST_HEADER = 2**20


class Arriving:
    """The connection on which an image comes; `bytes` of it came until now. Raises ImageBroken when it breaks."""

    def __init__(self, stream: socket.socket, id: str) -> None:
        self._stream, self._id, self.bytes = stream, id, 0
        self._reader = stream.makefile("rb")

    def header(self, token: str) -> tuple[bytes, list[int]]:
        """Show the token; the image's description, which is the one that was promised, and the bytes of its layers."""
        self._say(token)
        try:
            line = self._reader.readline(LONGEST_HEADER)
            told = json.loads(line or b"{}")
            size, layers = int(told["config"]), [int(layer) for layer in told["layers"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._broken(f"the other machine did not say what comes: {error!r}") from error
        if not 0 <= size <= LARGEST_CONFIG or any(layer < 0 for layer in layers):
            raise self._broken("the other machine promised an impossible size")
        config = b"".join(self.read(size))
        found = f"sha256:{hashlib.sha256(config).hexdigest()}"
        if found != self._id or len(diff_ids(config)) != len(layers):
            raise self._broken(f"another one came, {found}")
        return config, layers

    def close(self) -> None:
        """Hang up."""
        self._reader.close()
        self._stream.close()

    def cut(self) -> None:
        """Have whoever reads find that it was cut."""
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)

    def skip(self, has: int) -> None:
        """Say how many of the layers are here already."""
        self._say(str(has))

    def read(self, size: int) -> Iterator[bytes]:
        """The next so many bytes."""
        while size:
            try:
                chunk = self._reader.read(min(CHUNK, size))
            except OSError as error:
                raise self._broken(str(error)) from error
            if not chunk:
                raise self._broken("the connection was cut")
            self.bytes += len(chunk)
            size -= len(chunk)
            yield chunk

    def _say(self, word: str) -> None:
        try:
            self._stream.sendall(f"{word}\n".encode())
        except OSError as error:
            raise self._broken(str(error)) from error

    def _broken(self, why: str) -> ImageBroken:
        return ImageBroken(f"the image {self._id} did not come from the other machine: {why}")


async def take(engine: Engine, id: str, offer: Offer) -> int:
    """Have the image of that id from where it is offered, and how many bytes came. Raises ImageBroken.

    Nothing of one that did not come whole stays. Only who looks for it afterwards knows that it is there.
    """
    has = await layers_here(engine)
    try:
        stream = await asyncio.to_thread(socket.create_connection, (offer.host, offer.port), SILENT)
    except OSError as error:
        raise ImageBroken(f"cannot reach who offers the image {id} at {offer.host}: {error}") from error
    with closing(Arriving(stream, id)) as arriving:

        def load(client: Any) -> str:
            config, sizes = arriving.header(offer.token)
            known = shared(diff_ids(config), has)
            arriving.skip(known)
            return _load(client, archive(config, sizes, known, arriving.read))

        loading = asyncio.ensure_future(engine.ask(f"cannot load the image {id}", load, within=LOADING))
        try:
            said = await asyncio.shield(loading)
        except asyncio.CancelledError:
            arriving.cut()  # else it would be waited for until all has come
            await asyncio.wait([loading])
            loading.exception()
            raise
    if said:
        raise ImageBroken(f"the engine did not take the image {id}: {said}")
    return arriving.bytes


async def layers_here(engine: Engine) -> list[list[str]]:
    """The layers of each image that the engine has, the lowest first."""

    def look(client: Any) -> list[list[str]]:
        return [_layers(client, id) for id in sorted({image["Id"] for image in client.images(all=True)})]

    return await engine.ask("cannot look at the images", look)


def _layers(client: Any, id: str) -> list[str]:
    """Of one that is removed just now there are none."""
    with contextlib.suppress(NotFound):
        return client.inspect_image(id)["RootFS"].get("Layers") or []
    return []


def shared(layers: list[str], here: list[list[str]]) -> int:
    """How many of the lowest layers some image has in the same order: an engine keeps a layer with all below it."""
    return max((_common(layers, other) for other in here), default=0)


def _common(one: list[str], other: list[str]) -> int:
    pairs = list(zip(one, other, strict=False))
    return next((number for number, (mine, theirs) in enumerate(pairs) if mine != theirs), len(pairs))


def _load(client: Any, content: Iterator[bytes]) -> str:
    """What went wrong, as the engine wrote it into its answer: a load that fails is a 200 to it."""
    return "; ".join(str(line["error"]) for line in client.load_image(content) if "error" in line)
