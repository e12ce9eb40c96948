"""What a primitive is: claims, a plan, steps that can be taken back, one commit, and a check that it is so."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from msgspec import Struct

from daemon.node import Node
from daemon.records import Token
from daemon.wire import Refused

Do = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Step:
    """One change to the world. Doing it twice, or undoing what was never done, must be harmless.

    `restores` says that its undo puts a service back: such undos go before all others, so that nobody waits
    for the removal of candidates. `downtime` names the services that are down from here until the flip. `bytes` are
    copied by it, or given back; none by a clone, whatever is in it; `moved` tells how many have gone until now, if
    anybody knows. `machine` is where it is done, if that is not the machine that carries the operation out.
    """

    says: str
    do: Do
    undo: Do | None = None
    restores: bool = False
    downtime: tuple[str, ...] = ()
    bytes: int | None = None
    moved: Callable[[], Awaitable[int | None]] | None = None
    machine: str = ""


@dataclass(frozen=True)
class Together:
    """Steps that don't depend on each other. The engine bounds how many go at a time."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Commit:
    """The one step after which the way is forward. Once `settle` has said no, it can never happen."""

    says: str
    do: Do
    settle: Callable[[], Awaitable[bool]]


Part = Step | Together | Commit


class By(Struct, frozen=True):
    """The operation that plans: its id (in every name it makes), who asked, and when (RFC 3339)."""

    operation: str
    who: str
    at: str
    tokens: dict[str, Token] = {}


class Told(Protocol):
    """What a verification may ask of the operation's story."""

    def seconds(self, first: str, last: str) -> float: ...
    def moved(self, step: str) -> int: ...


class Primitive(Protocol):
    """A module of daemon.primitives. A plan is a frozen Struct that can be rebuilt from its JSON.

    `claims` maps the names of namespaces to change or read. `KIND` is the kind of its result. `steps` is a pure
    function of the plan: its parts around exactly one Commit, or nothing at all where the world already is as asked.
    """

    KIND: str
    Plan: type[Any]

    def claims(self, ask: Any) -> dict[str, Literal["change", "read"]]: ...
    async def plan(self, ask: Any, node: Node, by: By) -> Any: ...
    def steps(self, plan: Any, node: Node) -> Sequence[Part]: ...
    async def verify(self, plan: Any, node: Node, told: Told) -> Any: ...


class NotSo(Exception):
    """A check after the commit did not hold."""


def unrecorded(says: str) -> Commit:
    """A commit of which no record tells: of what is done once all steps before it are, or does no harm half done, and
    is brought to its end by the steps after it.

    Whoever asks after a crash whether it happened is told that it did not.
    """
    return Commit(says, do=_nothing, settle=_never)


async def _nothing() -> None:
    """Nothing is written."""


async def _never() -> bool:
    return False


def require(condition: object, code: str, what: str, why: str = "", hint: str = "") -> None:
    """A precondition: raise Refused unless it holds."""
    if not condition:
        raise Refused(code, what, why, hint)


def confirm(condition: object, otherwise: str) -> None:
    """A promise of the result: raise NotSo unless it holds."""
    if not condition:
        raise NotSo(otherwise)
