"""Colours, where there is a terminal that has them, and text that cannot disturb it."""

import re
from dataclasses import dataclass

PAINT = re.compile(r"\x1b\[[0-9;]*m")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")


@dataclass(frozen=True)
class Style:
    """What a stream can show: colours or none, and how many columns."""

    colours: bool = False
    columns: int = 80

    def bold(self, text: str) -> str:
        return self._paint("1", text)

    def dim(self, text: str) -> str:
        return self._paint("2", text)

    def red(self, text: str) -> str:
        return self._paint("31", text)

    def green(self, text: str) -> str:
        return self._paint("32", text)

    def yellow(self, text: str) -> str:
        return self._paint("33", text)

    def cyan(self, text: str) -> str:
        return self._paint("36", text)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours and text else text


def width(text: str) -> int:
    """How many columns a text takes, colours not counted."""
    return len(PAINT.sub("", text))


def harmless(text: str) -> str:
    """The text without what would move a cursor or change a terminal; lines and tabs stay."""
    return CONTROL.sub("�", text)


def cut(text: str, columns: int) -> str:
    """At most so many columns of an unpainted text."""
    return text if len(text) <= columns else text[: max(columns - 1, 0)] + "…"
