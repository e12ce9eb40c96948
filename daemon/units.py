"""Durations and sizes as people write them, in the units of the house: seconds and bytes."""

import re

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_BYTES = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)", re.ASCII)
_SIZE = re.compile(r"(\d{1,19}(?:\.\d{1,9})?) ?(|B|KiB|MiB|GiB|TiB)", re.ASCII)
LONGEST = 7 * 24 * 3600.0
"""Seconds. Whoever writes more has mistaken the unit."""
LARGEST = 2**60
"""Bytes, likewise."""


def seconds(raw: object) -> float:
    """Read "500ms", "30s", "2m", "1h" or a number of seconds. Raises TypeError or ValueError with what it should be."""
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise TypeError('should be a duration such as "30s", or a number of seconds')
    value = _duration(raw) if isinstance(raw, str) else raw
    if not 0 <= value <= LONGEST:
        raise ValueError("should be a duration between 0 and 7 days")
    return float(value)


def _duration(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError('should be a duration such as "500ms", "30s", "2m" or "1h"')
    number, unit = found.groups()
    return float(number) / 1000 if unit == "ms" else float(number) * _SECONDS[unit]


def size(raw: object) -> int:
    """Read "128MiB", "1.5GiB" or a number of bytes. Raises TypeError or ValueError with what it should be."""
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        raise TypeError('should be a size such as "128MiB", or a number of bytes')
    value = _bytes(raw) if isinstance(raw, str) else raw
    if not 0 < value <= LARGEST:
        raise ValueError("should be a size above 0 and at most 1 EiB")
    return value


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError('should be a size such as "128MiB", "10GiB" or "1TiB"')
    number, unit = found.groups()
    return int(float(number) * _BYTES[unit]) if "." in number else int(number) * _BYTES[unit]


def write_seconds(value: float) -> str | float:
    """The duration so that `seconds` reads exactly it again."""
    text = f"{value:g}"
    return f"{text}s" if _DURATION.fullmatch(f"{text}s") and float(text) == value else value


def write_size(value: int) -> str | int:
    """The size so that `size` reads exactly it again, in the largest unit that divides it."""
    for unit, factor in reversed(_BYTES.items()):
        if unit not in ("", "B") and value % factor == 0:
            return f"{value // factor}{unit}"
    return value


def rounded(count: float) -> str:
    """Bytes as a person reads them in a sentence: `1.5 GiB`."""
    unit, factor = next((one for one in reversed(_BYTES.items()) if count >= one[1]), ("B", 1))
    return f"{count / factor:.1f} {unit}" if factor > 1 else f"{count:.0f} B"
