"""Arithmetic of moments as records have them: RFC 3339, UTC, with milliseconds, so that they sort as text."""

from datetime import UTC, datetime, timedelta


def later(at: str, seconds: float) -> str:
    """The moment that many seconds after another."""
    moment = datetime.fromisoformat(at) + timedelta(seconds=seconds)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def apart(one: str, other: str) -> float:
    """Seconds between two moments, never negative. Raises ValueError if one is none."""
    return abs((datetime.fromisoformat(one) - datetime.fromisoformat(other)).total_seconds())
