"""Who asks: the kernel tells it of every connection to the socket (SO_PEERCRED, unix(7)), nobody has to say it."""

import pwd
import socket
import struct
from dataclasses import dataclass
from typing import Protocol

from daemon.wire import Refused

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Connected(Protocol):
    """A connected socket, whether asyncio wraps it or not."""

    def getsockopt(self, level: int, option: int, length: int, /) -> bytes: ...


@dataclass(frozen=True)
class Caller:
    """Whoever may connect may change things, unless their uid is named as a viewer's. `name` goes into records."""

    uid: int
    name: str
    may_change: bool


def caller(connection: Connected, viewers: frozenset[int]) -> Caller:
    """The one at the other end of a Unix socket, as they were when they connected."""
    _, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return Caller(uid, _name(uid), uid not in viewers)


def require_may_change(who: Caller, asks: str) -> None:
    """Raise Refused `caller.viewer` for somebody who may only look."""
    if not who.may_change:
        hint = f"somebody else, or have uid {who.uid} taken from the daemon's viewers"
        raise Refused("caller.viewer", f"cannot {asks} for {who.name}", f"{who.name} may only look", hint)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
