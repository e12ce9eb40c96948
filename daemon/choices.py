"""Addresses that plans of this machine have chosen and perhaps not reserved yet, so that plans made at a time differ.

Two machines may choose the same: then the reservation refuses one of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(eq=False)
class Choices:
    """By operation, until it is over."""

    _by: dict[str, frozenset[tuple[str, str]]] = field(default_factory=dict)

    def note(self, operation: str, names: Iterable[tuple[str, str]]) -> None:
        """The operation's plan has chosen these names, each of its kind."""
        self._by[operation] = frozenset(names)

    def forget(self, operation: str) -> None:
        """It is over: what it has of them is reserved."""
        self._by.pop(operation, None)

    def of(self, kind: str) -> set[str]:
        """The names of a kind that are chosen."""
        return {what for names in self._by.values() for one, what in names if one == kind}
