"""The text of a manifest: TOML or JSON, told apart by what it holds, as a tree of plain data."""

import json
import tomllib
from collections.abc import Mapping
from typing import Any, NoReturn

from daemon import toml_text
from daemon.manifest_fields import write_content
from daemon.wire import Refused

LARGEST = 256 * 1024
"""Bytes. A record that holds a manifest has to fit into one message of the store."""
WHAT = "cannot use this manifest"


def read(text: str) -> dict[str, Any]:
    """The tree. Raises Refused `manifest.too_large`, and `manifest.syntax` with the line of the mistake."""
    _measure(text)
    kind, reads = ("JSON", _json) if is_json(text) else ("TOML", tomllib.loads)
    try:
        return reads(text)
    except RecursionError:
        _refuse("it is nested too deeply")
    except ValueError as wrong:
        _refuse(f"it is not {kind}: {wrong}")


def is_json(text: str) -> bool:
    """Whether it is to be read as JSON; anything else is TOML."""
    return text.lstrip().startswith("{")


def joined(text: str, files: Mapping[str, bytes]) -> str:
    """The text with what files contain, by their paths, in its table `files`: a manifest that needs no other file.

    What a person wrote stays as it is, comments and all, unless it has such a table already: then it becomes JSON.
    """
    if not files:
        return text
    written = {path: write_content(content) for path, content in files.items()}
    tree = read(text)
    if is_json(text) or "files" in tree:
        held = tree.get("files")
        return json.dumps({**tree, "files": {**held, **written} if isinstance(held, dict) else written}, default=str)
    return f"{text.rstrip()}\n{toml_text.write({'files': written})}"


def _measure(text: str) -> None:
    try:
        length = len(text.encode())
    except UnicodeEncodeError as wrong:
        _refuse(f"line {text.count(chr(10), 0, wrong.start) + 1} holds what is not UTF-8")
    if length > LARGEST:
        why = f"it has {length} bytes, and {LARGEST} ({LARGEST // 1024} KiB) are the most that fit into one record"
        raise Refused("manifest.too_large", WHAT, why, "build large files into an image")


def _json(text: str) -> dict[str, Any]:
    tree = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    assert isinstance(tree, dict)  # it begins with a brace
    return tree


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in pairs:
        if key in tree:
            raise ValueError(f"the key {json.dumps(key)} is there twice in one object")
        tree[key] = value
    return tree


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _refuse(why: str) -> NoReturn:
    raise Refused("manifest.syntax", WHAT, why)
