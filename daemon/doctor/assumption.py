"""An assumption: what has to be so for a machine to work, who is asked, and what was found."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from daemon.problems import TRY, code, known, reason
from daemon.wire import Check, CheckState, Success

WITHIN = 15.0
"""Seconds that one question may take. A suspended pool, say, answers nobody."""


@dataclass(frozen=True)
class Finding:
    """What was found: a sentence, and, unless all is well, what to do."""

    state: CheckState
    says: str
    hint: str = ""


def ok(says: str) -> Finding:
    return Finding("ok", says)


def warning(says: str, hint: str) -> Finding:
    """It works, or most of it; somebody should look at it all the same."""
    return Finding("warning", says, hint)


def failure(says: str, hint: str) -> Finding:
    """What relies on it does not work."""
    return Finding("failure", says, hint)


@dataclass(frozen=True)
class Assumption:
    """`ask` asks the authority and judges what it says; `hint` is what to do where there is no answer."""

    name: str
    ask: Callable[[], Awaitable[Finding]]
    hint: str


async def examine(assumptions: Sequence[Assumption], machine: str, within: float = WITHIN) -> list[Check]:
    """Ask all of them at once; what was found, in their order."""
    findings = await asyncio.gather(*(_found(each, within) for each in assumptions))
    return [
        Check(each.name, found.state, found.says, found.hint, machine)
        for each, found in zip(assumptions, findings, strict=True)
    ]


def told(checks: Sequence[Check]) -> Success:
    """The answer: kind `doctor`."""
    return Success("doctor", {"checks": msgspec.to_builtins(checks)})


async def _found(assumption: Assumption, within: float) -> Finding:
    try:
        async with asyncio.timeout(within):
            return await assumption.ask()
    except TimeoutError:
        return failure(f"there was no answer within {within:g} seconds", assumption.hint)
    except OSError as error:
        return failure(f"it cannot be asked: {error}", assumption.hint)
    except Exception as problem:
        if not known(problem):
            raise
        return failure(reason(problem), TRY.get(code(problem), assumption.hint))
