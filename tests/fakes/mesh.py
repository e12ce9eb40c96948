"""A machine's place on a mesh, in memory: it is what its membership says, and knocks only where it is told."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from daemon.belonging import Keys
from daemon.membership import Membership
from daemon.wire import Admitted, MachineAdmit
from tests.fakes.touch import Touch, straight


async def nobody(letter: bytes, ask: MachineAdmit, *, preview: bool) -> Admitted | None:
    raise AssertionError("nobody is to be asked")


Knocked = Callable[..., Awaitable[Admitted | None]]


@dataclass
class FakeMesh:
    """`routes` are networks of the host's own, `taken` ports that a stranger has, `open` operations that are not over,
    `working` those that run.

    What it is told to be is `written` down, and takes effect at once: a fake daemon need not start anew. Where it does
    `again` ends it, and `start` is called then.
    """

    membership: Membership
    touch: Touch = straight
    door: Knocked = nobody
    again: Callable[[], None] | None = None
    written: Membership | None = None
    routes: dict[str, str] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    address: str | None = "192.0.2.1"
    applied: int = 0
    away: set[str] = field(default_factory=set)
    dismissed: list[str] = field(default_factory=list)
    working: list[str] = field(default_factory=list)
    gathered: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def keys(self) -> Keys:
        return Keys(f"mesh-{self.membership.here.id}", f"bus-{self.membership.here.id}")

    async def endpoint(self, towards: str | None = None) -> str | None:
        return f"{self.address}:51820" if self.address else None

    async def guest(self, invitation: str) -> str:
        return f"guest-{invitation}"

    async def networks(self) -> dict[str, str]:
        return self.routes

    async def strangers(self) -> dict[str, str]:
        return self.taken

    async def open_operations(self, by: str) -> list[str]:
        return [one for one in self.open if one != by]

    async def knock(self, letter: bytes, ask: MachineAdmit, *, preview: bool) -> Admitted | None:
        return await self.door(letter, ask, preview=preview)

    async def become(self, wanted: Membership) -> None:
        def effect() -> None:
            self.written = wanted

        if not self.membership.is_as(wanted):
            await self.touch("mesh become", effect)
            (self.again or self.start)()

    def start(self) -> None:
        self.membership = self.written or self.membership

    async def apply(self) -> None:
        def effect() -> None:
            self.applied += 1

        await self.touch("mesh apply", effect)

    async def answers(self, machine: str) -> bool:
        return machine not in self.away

    async def at_work(self) -> list[str]:
        return self.working

    async def gather(self) -> None:
        def effect() -> None:
            self.gathered += 1

        await self.touch("mesh gather", effect)

    async def dismiss(self, machine: str) -> None:
        def effect() -> None:
            self.dismissed.append(machine)

        await self.touch("mesh dismiss", effect)

    async def differs(self) -> str:
        return ""
