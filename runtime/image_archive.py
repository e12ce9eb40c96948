"""The archive of one image, as engines save and load it: looked into where it lies, and written piece by piece."""

import json
import posixpath
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from runtime.instance import EngineProblem, ImageBroken

CONFIG, MANIFEST = "config.json", "manifest.json"
LARGEST_CONFIG = 16 * 2**20
"""Bytes that the description of an image may have; those of real ones have some thousand."""


@dataclass(frozen=True)
class Piece:
    """Where something lies in an archive's file."""

    offset: int
    bytes: int


@dataclass(frozen=True)
class Archive:
    """A saved image: its description, whose digest is the image's id, and its layers, the lowest first."""

    file: BinaryIO
    config: bytes
    layers: tuple[Piece, ...]


def opened(file: BinaryIO) -> Archive:
    """Look into an archive with one image. Raises EngineProblem for what is none."""
    try:
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as tar:
            entries = {entry.name: entry for entry in tar}
            [manifest] = json.loads(_content(tar, entries[MANIFEST]))
            layers = tuple(_piece(entries, name) for name in manifest["Layers"])
            return Archive(file, _content(tar, entries[manifest["Config"]]), layers)
    except (tarfile.TarError, KeyError, TypeError, ValueError, OSError) as error:
        raise EngineProblem(f"cannot understand the image that the engine saved: {error!r}") from error


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    content = tar.extractfile(entry)
    if content is None:
        raise ValueError(f"{entry.name} is no file")
    return content.read()


def _piece(entries: dict[str, tarfile.TarInfo], name: str) -> Piece:
    """A layer that is in the image twice is a link the second time."""
    entry = entries[name]
    if entry.issym():
        entry = entries[posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.linkname))]
    if not entry.isreg():
        raise ValueError(f"the layer {name} is no file")
    return Piece(entry.offset_data, entry.size)


def diff_ids(config: bytes) -> list[str]:
    """The digests of an image's layers, the lowest first, as its description tells them. Raises ImageBroken."""
    try:
        told: Any = json.loads(config)["rootfs"]["diff_ids"]
        return [str(layer) for layer in told]
    except (ValueError, KeyError, TypeError) as error:
        raise ImageBroken(f"what came describes no image: {error!r}") from error


def archive(config: bytes, sizes: Sequence[int], has: int, read: Callable[[int], Iterator[bytes]]) -> Iterator[bytes]:
    """An archive for an engine that has the first `has` layers of the image already, and needs no file of them.

    `sizes` are the bytes of all its layers; `read` gives the next so many bytes of those that are missing.
    """
    names = [f"{number}.tar" for number in range(len(sizes))]
    manifest = json.dumps([{"Config": CONFIG, "RepoTags": None, "Layers": names}]).encode()
    for name, content in ((CONFIG, config), (MANIFEST, manifest)):
        yield _header(name, len(content)) + content + _padding(len(content))
    for name, size in list(zip(names, sizes, strict=True))[has:]:
        yield _header(name, size)
        yield from read(size)
        yield _padding(size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
