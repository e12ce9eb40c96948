"""The files that a manifest names: read here, because the daemon may be on another machine."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ctl.listen import Failed
from daemon.wire import Failure, Refused

LARGEST = 64 * 1024
"""Bytes of one file; the daemon has the same limit."""
Named = dict[str, str]
"""The path of each file, as the manifest has it, with the place there that names it first."""


def files(text: str, beside: Path) -> dict[str, bytes]:
    """What the files contain that a manifest names, by their paths; relative ones are `beside` it.

    A text that is no manifest names none: what is wrong with it is the daemon's to say. Raises Refused `file.missing`,
    `file.too_large`, `file.unreadable`: the code is that of the first that is wrong, `why` has all.
    """
    named = Named()
    for path, place in _named(_tree(text)) if "files" in text else ():
        named.setdefault(path, place)
    read = {path: _read(beside / path, path) for path in named}
    wrong = [(named[path], found) for path, found in read.items() if isinstance(found, Refused)]
    if wrong:
        lines = "\n".join(f"{place}: {found.why}" for place, found in wrong)
        first = wrong[0][1]
        raise Failed(Failure(Refused(first.code, first.what, lines, first.hint).error), changes=True)
    return {path: found for path, found in read.items() if isinstance(found, bytes)}


def _tree(text: str) -> Any:
    try:
        return json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}


def _named(tree: Any) -> Iterator[tuple[str, str]]:
    inside = _table(_table(tree).get("files"))
    for name, service in _table(_table(tree).get("services")).items():
        for target, path in _table(_table(service).get("files")).items():
            if isinstance(path, str) and path and "\0" not in path and path not in inside:
                yield path, f"services.{name}.files.{json.dumps(target)}"


def _table(raw: Any) -> dict[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _read(file: Path, path: str) -> bytes | Refused:
    what, hint = "cannot deploy", "a path relative to the manifest, or to where you are if that comes from stdin"
    try:
        with file.open("rb") as opened:
            held = opened.read(LARGEST + 1)
    except FileNotFoundError:
        return Refused("file.missing", what, f"there is no file {path}", hint)
    except OSError as error:
        return Refused("file.unreadable", what, f"{path} cannot be read: {error.strerror}", hint)
    if len(held) > LARGEST:
        why = f"{path} is larger than {LARGEST // 1024} KiB"
        return Refused("file.too_large", what, why, "build it into an image, or put it into a volume")
    return held
