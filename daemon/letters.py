"""The letter of an invitation, as its token: all that a machine needs to knock, and nothing else that it may do."""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error

import msgspec
from msgspec import Struct

from daemon import addressing
from daemon.records import Cluster
from daemon.wire import Invited, Refused

MARK = "ployz-1-"
"""What every token begins with; the number grows when letters are written otherwise."""
CHECK = 4
"""Bytes of a hash at its end: a token that lost a letter on its way is told from one that is refused."""


class Letter(Struct, frozen=True, array_like=True):
    """Where to knock and as whom. `key` is the inviter's public key on the mesh: only who has the private one answers.

    `secret` is the guest's private key, good for one address, `guest`; at `door` (an address) one thing can be asked.
    """

    invitation: str
    network: str
    cluster: str
    cidr: str
    endpoint: str
    key: str
    door: str
    secret: str
    guest: str
    expires_at: str
    name: str | None


def of(invited: Invited, cluster: Cluster, secret: str) -> Letter:
    """The letter of an invitation to a cluster, with the guest's key."""
    return Letter(
        invitation=invited.id,
        network=cluster.name,
        cluster=cluster.id,
        cidr=cluster.cidr,
        endpoint=invited.endpoint,
        key=invited.fingerprint,
        door=addressing.door(cluster.cidr),
        secret=secret,
        guest=invited.guest,
        expires_at=invited.expires_at,
        name=invited.name,
    )


def token(letter: Letter) -> str:
    """The letter as one word."""
    body = msgspec.msgpack.encode(letter)
    return MARK + urlsafe_b64encode(body + _check(body)).decode().rstrip("=")


def read(token: str) -> Letter:
    """The letter in a token. Raises Refused `join.token`."""
    text = token.strip().removeprefix(MARK)
    try:
        whole = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        body, check = whole[:-CHECK], whole[-CHECK:]
        if token.strip().startswith(MARK) and check == _check(body):
            return msgspec.msgpack.decode(body, type=Letter)
    except (Error, ValueError, msgspec.MsgspecError):
        pass
    why = "this is no token, or not all of it"
    raise Refused("join.token", "cannot join a cluster", why, "the whole word that `ployzctl machine invite` printed")


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:CHECK]
