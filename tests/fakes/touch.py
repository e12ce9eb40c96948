"""Where a test may cut the world: every change that a fake makes to it goes through a touch."""

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Touch(Protocol):
    """Make a change, or cut it: before (never run `effect`), after (run it, then raise), or late."""

    async def __call__(self, what: str, effect: Callable[[], T]) -> T: ...


async def straight(what: str, effect: Callable[[], T]) -> T:
    """The touch of a world in which nothing goes wrong."""
    return effect()
