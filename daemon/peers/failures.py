"""Failures on their way between machines: what a verb raises there is raised here, as what it is."""

from collections.abc import Iterator

from msgspec import Struct

from daemon.node import ServingProblem
from daemon.primitive import NotSo
from daemon.wire import Problem, Refused, Stuck, TakenBack
from dataplane.dataset import ZfsProblem
from dataplane.entry import StoreDown
from dataplane.vault import VaultProblem
from runtime.command import CommandError
from runtime.instance import EngineProblem

ROOTS: tuple[type[Exception], ...] = (ZfsProblem, EngineProblem, VaultProblem, ServingProblem, NotSo, StoreDown)
PROBLEMS: tuple[type[Problem], ...] = (Refused, TakenBack, Stuck, Problem)


class Failed(Struct, frozen=True):
    """A failure: the name of its kind, and what it was made of."""

    kind: str
    words: tuple[str, ...]


class PeerFailed(ZfsProblem, EngineProblem, VaultProblem, ServingProblem):
    """A verb failed on another machine in a way that is not known here: it may run another version."""


def told(failure: BaseException) -> Failed | None:
    """A failure of the world as it travels; None for what is a bug of ours."""
    known = _kinds()
    name = next((kind.__name__ for kind in type(failure).__mro__ if kind.__name__ in known), None)
    if not name:
        # Its kinds are made of more than words.
        return Failed(CommandError.__name__, (str(failure),)) if isinstance(failure, CommandError) else None
    return Failed(name, tuple(str(word) for word in failure.args))


def heard(failed: Failed, machine: str) -> Exception:
    """The exception again. What it says names the machine that it comes from."""
    kinds = {**_kinds(), CommandError.__name__: CommandError}
    kind: type[Exception] = kinds.get(failed.kind, PeerFailed)
    if issubclass(kind, Problem):
        return kind(*failed.words)
    first, *rest = failed.words or ("",)
    return kind(f"on {machine}: {first}", *rest)


def _kinds() -> dict[str, type[Exception]]:
    return {kind.__name__: kind for kind in (*PROBLEMS, *(kind for root in ROOTS for kind in _below(root)))}


def _below(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for sub in kind.__subclasses__():
        if sub is not PeerFailed:
            yield from _below(sub)
