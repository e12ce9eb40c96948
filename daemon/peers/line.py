"""The way to other daemons: calls over the bus, on the subjects `svc.<machine>.<what>`."""

from collections.abc import Callable
from dataclasses import dataclass

from daemon.wire import Refused
from dataplane.calls import CallFailed, Calls
from dataplane.entry import key

HELLO = "hello"
"""What a machine is asked for by those who want to know whether it answers."""
SILENCE = 7.0
"""Seconds without a sign of life until a machine counts as gone."""
GLANCE = 2.5
"""The same for somebody who only looks, and would rather see the others soon."""


def subject(machine: str, what: str) -> str:
    """Where a machine is asked for something of a kind."""
    return key("svc", machine, what)


@dataclass(frozen=True)
class BusLine:
    """Implements `daemon.peers.calls.Line`. After `silence` seconds without a sign of life nobody is waited for, and
    who is known to be `away` (with the reason) is not asked."""

    calls: Calls
    silence: float = SILENCE
    away: Callable[[str], str] = lambda _: ""

    async def ask(self, machine: str, what: str, question: bytes) -> bytes:
        if why := self.away(machine):
            raise _unreachable(machine, why)
        try:
            return await self.calls.request(subject(machine, what), question, self.silence)
        except CallFailed as failure:
            raise _unreachable(machine, str(failure)) from failure

    async def answers(self, machine: str) -> bool:
        """Whether its daemon does, just now."""
        try:
            return await self.ask(machine, HELLO, b"") == machine.encode()
        except Refused:
            return False


def _unreachable(machine: str, why: str) -> Refused:
    return Refused("machine.unreachable", f"cannot ask {machine}", why, "ployzctl machine ls shows who can be reached")
