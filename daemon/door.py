"""Where guests knock: a machine of the mesh, at its own address there, answers whether it lets them in, and does it."""

import ipaddress
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
from aiohttp import web
from msgspec import structs

from daemon.members import Members
from daemon.tunnel import DOOR, PATH, Knock
from daemon.wire import Event, Failure, How, MachineAdmit, Problem, Refused, Success, encode

log = logging.getLogger("ployzd")

Admit = Callable[[MachineAdmit, How, str, Callable[[Event], None]], Awaitable[Success]]
Seen = Callable[[str], Awaitable[str | None]]


@dataclass
class Door:
    """At `address`. `admit` carries the request out; `seen` tells from which address a guest's key is heard."""

    address: str
    members: Members
    admit: Admit
    seen: Seen
    _runner: web.AppRunner | None = field(default=None, init=False)

    async def open(self) -> None:
        """Listen. Raises OSError if somebody else does."""
        application = web.Application()
        application.router.add_post(PATH, self._answer)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.address, DOOR).start()

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        return web.Response(body=await self.answered(await request.read(), request.remote or ""))

    async def answered(self, question: bytes, guest: str) -> bytes:
        """What whoever knocks from the address `guest` is told: a Success or a Failure."""
        try:
            return encode(await self._admitted(msgspec.json.decode(question, type=Knock), guest))
        except msgspec.MsgspecError as wrong:
            why = f"its daemon speaks otherwise: {wrong}"
            return encode(Failure(Refused("join.version", "cannot join", why, "install the same release there").error))
        except Problem as problem:
            return encode(Failure(problem.error))

    async def _admitted(self, knock: Knock, guest: str) -> Success:
        """WireGuard has only let in what comes from the guest's own address: so that says whose invitation it is."""
        invitation = (await self.members.invitations()).get(knock.ask.invitation)
        if not invitation or invitation.guest != guest:
            why = f"{guest} is nobody who was invited by {knock.ask.invitation}"
            raise Refused("join.foreign", "cannot join", why, "ployzctl machine invite")
        ask = structs.replace(knock.ask, endpoint=reached_at(knock.ask.endpoint, await self.seen(invitation.key)))
        return await self.admit(ask, How(preview=knock.preview), f"guest {guest}", _nobody)


def reached_at(told: str | None, seen: str | None) -> str | None:
    """Where a guest can be reached: where it says, unless nothing came from there and it is no address of the Internet:
    it is behind a NAT."""
    host = told.rpartition(":")[0] if told else ""
    try:
        hidden = not ipaddress.ip_address(host).is_global and host != seen
    except ValueError:
        return told  # a name, which somebody gave on purpose
    return None if hidden else told


def _nobody(_: Event) -> None:
    """Nobody listens: the journal has it."""
