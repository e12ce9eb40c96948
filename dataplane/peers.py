"""The peers of a WireGuard interface, as it is told them and as it tells them: pure functions."""

import base64
import binascii
import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runtime.command import CommandError


class WireguardProblem(CommandError):
    """The interface does not hold what it was given, or what it would be given makes no sense."""


@dataclass(frozen=True)
class Peer:
    """Another machine: its public key, the networks (CIDR) behind it, where it is reached (`address:port`).

    `keepalive` is how often (seconds) this machine says something, so that a NAT between them stays open.
    """

    key: str
    networks: tuple[str, ...]
    endpoint: str | None = None
    keepalive: int | None = None


@dataclass(frozen=True)
class Link:
    """A peer as the interface has it. Its endpoint is where it was heard last.

    `handshake` is when they last agreed on keys, in Unix seconds, None if never; the others are bytes.
    """

    peer: Peer
    handshake: int | None
    received: int
    sent: int


@dataclass(frozen=True)
class Interface:
    """What `wg show … dump` tells."""

    public_key: str
    port: int
    links: list[Link]


def require_sound(peers: Sequence[Peer]) -> None:
    """Raise WireguardProblem for what `wg` takes without a word: the last of two claims wins there."""
    claimed: list[tuple[ipaddress.IPv4Network, Peer]] = []
    for peer in peers:
        if not _is_key(peer.key):
            raise WireguardProblem(f"cannot use {peer.key!r} as a peer's public key: it is not 32 bytes of base64")
        for network in map(ipaddress.IPv4Network, peer.networks):
            for other, owner in claimed:
                if network.overlaps(other):
                    both = f"{peer.key} ({network}) and {owner.key} ({other})"
                    raise WireguardProblem(f"cannot lead one address to two peers: {both} overlap")
            claimed.append((network, peer))
    if len({peer.key for peer in peers}) < len(peers):
        raise WireguardProblem("cannot have two peers with one public key")


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 32
    except binascii.Error:
        return False


def configuration(private_key: str, port: int, peers: Sequence[Peer]) -> str:
    """What `wg syncconf` reads: the whole interface, since it drops what is left out."""
    lines = ["[Interface]", f"PrivateKey = {private_key.strip()}", f"ListenPort = {port}"]
    return "\n".join([*lines, *(line for peer in peers for line in _section(peer))]) + "\n"


def _section(peer: Peer) -> Iterator[str]:
    yield "[Peer]"
    yield f"PublicKey = {peer.key}"
    yield f"AllowedIPs = {', '.join(peer.networks)}"
    if peer.endpoint:
        yield f"Endpoint = {peer.endpoint}"
    if peer.keepalive:
        yield f"PersistentKeepalive = {peer.keepalive}"


def parse(dump: str) -> Interface:
    """Understand `wg show … dump`. Raises WireguardProblem if it is not one."""
    lines = [line.split("\t") for line in dump.splitlines()]
    try:
        (_, public_key, port, _), *rows = lines
        return Interface(public_key, int(port), sorted(map(_link, rows), key=lambda link: link.peer.key))
    except ValueError as error:
        raise WireguardProblem(f"cannot understand what `wg show` tells: {error}") from None


def _link(row: list[str]) -> Link:
    key, _, endpoint, networks, handshake, received, sent, keepalive = row
    peer = Peer(
        key,
        tuple(networks.split(",")) if networks != "(none)" else (),
        endpoint if endpoint != "(none)" else None,
        int(keepalive) if keepalive != "off" else None,
    )
    return Link(peer, int(handshake) or None, int(received), int(sent))


def differs(links: Sequence[Link], peers: Sequence[Peer]) -> str:
    """In what an interface's peers are not those asked for; empty if they are. A peer may have moved its endpoint."""
    has = {link.peer.key: link.peer for link in links}
    if apart := has.keys() ^ {peer.key for peer in peers}:
        return f"the peers {', '.join(sorted(apart))} are {'left' if apart <= has.keys() else 'not all there'}"
    for peer in peers:
        now = has[peer.key]
        if set(now.networks) != set(peer.networks) or now.keepalive != peer.keepalive:
            return f"the peer {peer.key} has {now}"
        if peer.endpoint and not now.endpoint:
            return f"the peer {peer.key} has no endpoint"
    return ""
