"""A figure that was measured: what it is, what it stands beside, and whether it is what it should be."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Figure:
    """One line of the report. `runs` is how many made its median; `met` is None where there is no aim."""

    what: str
    ours: str
    beside: str = ""
    ratio: str = ""
    aim: str = ""
    met: bool | None = None
    runs: int = 1

    @property
    def row(self) -> tuple[str, ...]:
        verdict = {True: "yes", False: "**no**", None: ""}[self.met]
        return (self.what, self.ours, self.beside, self.ratio, self.aim, verdict, str(self.runs))


HEADINGS = ("what", "ployz", "beside", "ratio", "aim", "met", "runs")


def table(figures: list[Figure]) -> str:
    """The figures as a table of Markdown."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(figure.row for figure in figures)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def seconds(effect: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    effect()
    return time.perf_counter() - began


def shown(times: list[float]) -> str:
    """A median, and from where to where the runs went; in milliseconds below a second."""
    middle, least, most = median(times), min(times), max(times)
    if middle < 1:
        return f"{middle * 1000:.0f} ms ({least * 1000:.0f} to {most * 1000:.0f})"
    return f"{middle:.2f} s ({least:.2f} to {most:.2f})"


def compared(what: str, ours: list[float], name: str, theirs: list[float], most: float) -> Figure:
    """Times beside other times, which they are to exceed at most `most` times."""
    ratio = median(ours) / median(theirs)
    beside = f"{name}: {shown(theirs)}"
    return Figure(what, shown(ours), beside, f"{ratio:.2f}", f"≤ {most:g} times", ratio <= most, len(ours))
