"""Plain data written as TOML: what a manifest needs of it, in the order it is given."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Tree = Mapping[str, Any]
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def write(tree: Tree) -> str:
    """A document: each top-level table becomes a section, and each table in it (`services.web`) one of its own.

    Strings, booleans, integers, finite floats, lists and tables of them can be written. Raises TypeError for others.
    """
    plain, tables = _apart(tree)
    return _lines(plain) + "".join(_section(key, table) for key, table in tables.items())


def _section(name: str, table: Tree) -> str:
    plain, tables = _apart(table)
    head = f"\n[{_key(name)}]\n{_lines(plain)}" if plain else ""
    return head + "".join(f"\n[{_key(name)}.{_key(inner)}]\n{_lines(held)}" for inner, held in tables.items())


def _apart(tree: Tree) -> tuple[Tree, Mapping[str, Tree]]:
    """What is no table, and what is."""
    plain = {key: value for key, value in tree.items() if not isinstance(value, Mapping)}
    return plain, {key: value for key, value in tree.items() if isinstance(value, Mapping)}


def _lines(table: Tree) -> str:
    return "".join(f"{line}\n" for line in _entries(table))


def _entries(table: Tree) -> Iterator[str]:
    return (f"{_key(key)} = {_value(value)}" for key, value in table.items())


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _value(value: object) -> str:
    match value:
        case str():
            return _string(value)
        case bool() | int() | float():
            return json.dumps(value, allow_nan=False)
        case list() | tuple():
            return "[" + ", ".join(_value(one) for one in value) + "]"
        case Mapping():
            return "{ " + ", ".join(_entries(value)) + " }" if value else "{}"
    raise TypeError(f"cannot write {type(value).__name__} as TOML")


def _string(text: str) -> str:
    # A basic string of TOML escapes what a string of JSON escapes, and DEL besides.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
