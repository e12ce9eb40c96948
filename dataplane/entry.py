"""What the store keeps, as the house sees it: entries with revisions, their keys, and how the store fails."""

import re
from dataclasses import dataclass
from enum import Enum

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]")
_ENCODED = re.compile(r"((?:=[0-9A-F]{2})+)")


@dataclass(frozen=True)
class Entry:
    """A value, and the revision that wrote it: one sequence for all keys of a bucket, only ever growing."""

    value: bytes
    revision: int


class Sight(Enum):
    """What a watch tells between its entries: all that is there has been told; or it may be missing changes."""

    CURRENT = "current"
    LOST = "lost"


class Moved(Exception):
    """The entry has another revision than expected: nothing was written."""


class StoreDown(Exception):
    """The store did not answer. What was being written may or may not have been, or may yet be."""


class Unsent(StoreDown):
    """There is no connection to the store: nothing was sent to it."""


class Closed(StoreDown):
    """The store is being moved to other machines, and takes nothing meanwhile: nothing was written."""


class TooLarge(Exception):
    """The value does not fit into a message of the store: nothing was written."""


def key(*parts: str) -> str:
    """The key of these parts, reversibly: every byte that is no letter, digit, `_` or `-` becomes `=XX`."""
    if not parts or not all(parts):
        raise ValueError(f"a key has parts, and none is empty: {parts}")
    return ".".join(_FORBIDDEN.sub(_as_hex, part) for part in parts)


def parts(key: str) -> tuple[str, ...]:
    """The parts that a key was made of."""
    return tuple(_ENCODED.sub(_from_hex, part) for part in key.split("."))


def _as_hex(found: re.Match[str]) -> str:
    return "".join(f"={byte:02X}" for byte in found[0].encode())


def _from_hex(found: re.Match[str]) -> str:
    return bytes.fromhex(found[0].replace("=", "")).decode()
