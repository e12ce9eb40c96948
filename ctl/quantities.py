"""Sizes, durations and times as people read them."""

import re
from datetime import UTC, datetime

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
SPANS = ((86400 * 365, "year"), (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def size(count: float) -> str:
    """Bytes as `1.5 GiB`."""
    unit = 0
    while count >= 1023.95 and unit < len(UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} B" if unit == 0 else f"{count:.1f} {UNITS[unit]}"


def count(text: str) -> int | None:
    """The bytes of `20GiB`, `1.5 GiB` or `4096`; None for what is no size."""
    if not (found := re.fullmatch(r"(\d+(?:\.\d+)?) ?(B|[KMGTP]iB)?", text)):
        return None
    return int(float(found[1]) * 1024 ** UNITS.index(found[2] or "B"))


def span(seconds: float) -> str:
    """A duration as `0.3 s`, `12 s` or `1 min 5 s`."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def moment(at: str) -> datetime:
    """An RFC 3339 time, in UTC; raise ValueError for another text."""
    return datetime.fromisoformat(at).astimezone(UTC)


def now() -> datetime:
    return datetime.now(UTC)


def since(at: str, until: datetime) -> float:
    """Seconds from one time to another, never below zero."""
    return max(0.0, (until - moment(at)).total_seconds())


def ago(at: str, until: datetime) -> str:
    """A time as `3 minutes ago`."""
    seconds = since(at, until)
    for length, unit in SPANS:
        if count := int(seconds // length):
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def absolute(at: str) -> str:
    """A time as `2026-01-31 13:05:07 UTC`."""
    return moment(at).strftime("%Y-%m-%d %H:%M:%S UTC")


def both(at: str, until: datetime) -> str:
    """A time as `3 minutes ago (2026-01-31 13:05:07 UTC)`."""
    return f"{ago(at, until)} ({absolute(at)})"


def percentage(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0
