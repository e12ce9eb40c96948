"""Tables with aligned columns."""

from collections.abc import Sequence

from ctl.quantities import percentage, size
from ctl.style import Style, width

GAP = "   "
WIDE = 100
"""Columns from which on there is room for long bars."""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], style: Style, *, right: str = "") -> str:
    """Lines of a table; the columns headed by words in `right` are aligned to the right, cells may be painted."""
    titles = [heading.upper() for heading in headings]
    widths = [max(width(row[at]) for row in [titles, *rows]) for at in range(len(titles))]
    to_right = [heading in right.split() for heading in headings]
    lines = [_line(row, widths, to_right) for row in rows]
    return "\n".join([style.dim(_line(titles, widths, to_right)), *lines])


def pairs(rows: Sequence[tuple[str, str]], style: Style) -> str:
    """Lines of `name  value`; those without a value are left out."""
    shown = [(name, value) for name, value in rows if value]
    widest = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{style.dim(name.ljust(widest))}  {value}" for name, value in shown)


def indent(text: str, by: str = "  ") -> str:
    return "\n".join(by + line if line else line for line in text.split("\n"))


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def bar(percent: float, style: Style, columns: int = 20) -> str:
    """A bar that fills up, and turns yellow and red while it does."""
    filled = min(columns, round(percent * columns / 100))
    paint = style.green if percent < 75 else style.yellow if percent < 90 else style.red
    return paint("█" * filled) + style.dim("░" * (columns - filled))


def filling(used: int, whole: int, style: Style) -> str:
    """Bytes that are used, of all of them, with a bar."""
    full = percentage(used, whole)
    shown = bar(full, style, 20 if style.columns >= WIDE else 10)
    return f"{shown} {full:3.0f} %  {size(used)} of {size(whole)}"


def _line(cells: Sequence[str], widths: Sequence[int], to_right: Sequence[bool]) -> str:
    padded = []
    for cell, columns, right in zip(cells, widths, to_right, strict=True):
        space = " " * (columns - width(cell))
        padded.append(space + cell if right else cell + space)
    return GAP.join(padded).rstrip()
