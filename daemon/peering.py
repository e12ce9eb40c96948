"""Who a machine's interface speaks with: a pure function of the records of machines and invitations."""

from collections.abc import Iterable, Mapping

from daemon.moments import later
from daemon.records import Invitation, Machine
from dataplane.peers import Peer

KEEPALIVE = 25
"""Seconds between two words of a machine behind a NAT, which forgets who is silent for longer."""
GRACE = 3600.0
"""Seconds that a guest whose invitation is over is still heard, to be told so."""


def peers(here: Machine, machines: Mapping[str, Machine], invitations: Iterable[Invitation], at: str) -> list[Peer]:
    """All other machines, and this one's own guests at the moment `at` (RFC 3339), each a peer."""
    alive = None if here.endpoint else KEEPALIVE
    others = [
        Peer(machine.key, (machine.subnet,), machine.endpoint, alive)
        for name, machine in sorted(machines.items())
        if name != here.name and machine.key
    ]
    return [*others, *(Peer(each.key, (f"{each.guest}/32",)) for each in _guests(here.name, invitations, at))]


def _guests(here: str, invitations: Iterable[Invitation], at: str) -> list[Invitation]:
    """One for each address: that of the newest invitation, where a mesh has so many that addresses come again."""
    own = [each for each in invitations if each.inviter == here and later(each.expires_at, GRACE) > at]
    newest = {each.guest: each for each in sorted(own, key=lambda each: each.created_at)}
    return list(newest.values())


def next_change(here: str, invitations: Iterable[Invitation], at: str) -> str | None:
    """The moment at which the first of these guests is a peer no more; None if none is."""
    return min((later(each.expires_at, GRACE) for each in _guests(here, invitations, at)), default=None)
