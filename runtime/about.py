"""What an engine is: its version, how it keeps images, and what it cannot limit."""

from dataclasses import dataclass

from runtime.engine import Engine
from runtime.instance import EngineProblem

LIMITS = {"MemoryLimit": "memory", "CpuCfsQuota": "processors"}


@dataclass(frozen=True)
class About:
    """`lacks` names what it cannot limit, because its kernel does not."""

    version: str
    driver: str
    lacks: tuple[str, ...]


async def about(engine: Engine) -> About:
    """Ask it. Raises EngineProblem."""
    told = await engine.ask("cannot ask the engine what it is", lambda client: client.info())
    try:
        lacks = tuple(word for key, word in LIMITS.items() if not told[key])
        return About(str(told["ServerVersion"]), str(told["Driver"]), lacks)
    except (KeyError, TypeError) as error:
        raise EngineProblem(f"cannot understand what the engine says of itself: {error}") from error
