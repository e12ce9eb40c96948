"""The way of a guest to the door of a mesh: an interface for as long as one question takes, and the question."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
from msgspec import Struct

from daemon.journal import rfc3339
from daemon.letters import Letter
from daemon.wire import Admitted, Failure, MachineAdmit, Refused, Success, problem
from dataplane.peers import Peer
from dataplane.secret_file import write_secret
from dataplane.wireguard import Wireguard
from runtime.command import CommandError

INTERFACE = "ployguest0"
PORT = 51822
"""Of UDP, while a question is asked."""
DOOR = 51821
"""Of TCP: where a machine of the mesh answers guests."""
PATH = "/v1/knock"
CONNECTS = 10.0
"""Seconds until a door that does not answer is given up; a first handshake that is lost is repeated after 5."""
ANSWERS = 60.0


class Unreached(CommandError):
    """Nobody answers at the door."""


class Knock(Struct, frozen=True):
    """What a guest asks: to be let in, or with `preview` only whether it would be."""

    ask: MachineAdmit
    preview: bool


class _Ending(Struct):
    ok: bool


@dataclass(frozen=True)
class Tunnel:
    """`folder` holds the guest's key meanwhile. One question at a time; after `connects` seconds nobody is there."""

    folder: Path
    mtu: int = 1420
    connects: float = CONNECTS

    async def knock(self, letter: Letter, knock: Knock) -> Admitted | None:
        """The answer of the door. Raises the Problem that it tells, Unreached, or a CommandError of the interface."""
        where = await _resolved(letter.endpoint)
        async with self._way(letter, where) as way:
            began = time.monotonic()
            try:
                told = await self._asked(letter, knock)
            except (OSError, aiohttp.ClientError, TimeoutError) as failure:
                raise _unheard(letter, knock, await _why(letter, where, way, time.monotonic() - began)) from failure
        return understood(told)

    async def clear(self) -> None:
        """Remove what is left of a question whose asker was killed meanwhile; nothing is fine."""
        if self._key.exists():
            await Wireguard(INTERFACE, self.folder, "", "", PORT, self.mtu).remove()
            self._key.unlink()

    @property
    def _key(self) -> Path:
        return self.folder / "machine.key"

    async def _asked(self, letter: Letter, knock: Knock) -> bytes:
        limits = aiohttp.ClientTimeout(total=ANSWERS, sock_connect=self.connects)
        async with (
            aiohttp.ClientSession(timeout=limits) as session,
            session.post(f"http://{letter.door}:{DOOR}{PATH}", data=msgspec.json.encode(knock)) as response,
        ):
            return await response.read()

    @asynccontextmanager
    async def _way(self, letter: Letter, where: str) -> AsyncIterator[Wireguard]:
        write_secret(self._key, letter.secret.encode())
        way = Wireguard(INTERFACE, self.folder, letter.guest, f"{letter.door}/32", PORT, self.mtu)
        try:
            await way.ensure()
            await way.apply([Peer(letter.key, (f"{letter.door}/32",), where)])
            yield way
        finally:
            await way.remove()
            self._key.unlink()


async def _resolved(endpoint: str) -> str:
    """The endpoint with an address in place of a name: `wg` would try for minutes to find one."""
    host, _, port = endpoint.rpartition(":")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, int(port), type=socket.SOCK_DGRAM, family=socket.AF_INET
        )
    except (OSError, ValueError) as failure:
        raise Unreached(f"{endpoint} is no place to send to: {failure}") from failure
    return f"{found[0][4][0]}:{port}"


def _unheard(letter: Letter, knock: Knock, why: str) -> Unreached | Refused:
    """A door forgets its guests some time after their invitations are over; a letter says itself until when it is good.

    Only whoever asked first is told so: who was about to come may be in already, and the answer lost.
    """
    if not knock.preview or rfc3339() <= letter.expires_at:
        return Unreached(why)
    why = f"the invitation {letter.invitation} was open until {letter.expires_at}; {why}"
    return Refused("join.expired", f"cannot join {letter.network}", why, "ployzctl machine invite")


async def _why(letter: Letter, where: str, way: Wireguard, seconds: float) -> str:
    tried = f"{letter.endpoint} ({where}, UDP) was tried for {seconds:.0f} seconds"
    [link] = await way.links()
    if link.handshake:
        return f"{tried}: it agreed on keys, and its door at {letter.door} does not answer"
    return f"{tried}, and nobody there who has the key {letter.key} answers; {link.sent} bytes went out"


def understood(told: bytes) -> Admitted | None:
    """What a door's answer says; None to a preview. Raises the Problem that it tells, or Unreached."""
    try:
        if not msgspec.json.decode(told, type=_Ending).ok:
            raise problem(msgspec.json.decode(told, type=Failure).error)
        answer = msgspec.json.decode(told, type=Success)
        return msgspec.convert(answer.result, Admitted) if answer.kind == "admitted" else None
    except msgspec.MsgspecError as failure:
        raise Unreached(f"what the door answers makes no sense: {failure}") from failure
