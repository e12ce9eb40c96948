"""The known name that somebody probably meant when they wrote another."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that looks most like `word`, or None if none comes near."""
    return next(iter(difflib.get_close_matches(word, list(known), 1)), None)
