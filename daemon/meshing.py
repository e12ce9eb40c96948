"""This machine on the mesh: what it is, whom it speaks with, how it becomes one of others (`belonging.Mesh`)."""

import asyncio
import base64
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import structs

from daemon import addressing, host_network, journal, letters, membership, peering
from daemon.belonging import Keys
from daemon.journal import rfc3339
from daemon.members import Members
from daemon.membership import Membership
from daemon.mirror import Mirror
from daemon.moments import apart
from daemon.own_server import OwnServer
from daemon.peers.line import HELLO
from daemon.peers.talk import PORT as TALK
from daemon.records import Cluster, Invitation, Machine
from daemon.transferring import PORT as TRANSFERS
from daemon.tunnel import DOOR, INTERFACE, PORT, Knock, Tunnel
from daemon.whereabouts import WHERE
from daemon.wire import Admitted, Invited, MachineAdmit, Problem
from dataplane.calls import CallFailed, Calls, Question
from dataplane.entry import StoreDown
from dataplane.layout import PORTS
from dataplane.mesh_rules import MeshRules
from dataplane.peers import Link, Peer
from dataplane.vault import Vault
from dataplane.wireguard import Wireguard, public_key_of
from runtime.command import CommandError

MESH = "ploymesh0"
BRIDGE = "ploy0"
DOCKER = "docker0"
"""The engine's default bridge, at whose address no other machine can be."""
INNER = sorted(
    [TALK, WHERE, TRANSFERS, *(port for ports in PORTS for port in (ports.clients, ports.leaves, ports.routes))]
)
"""The ports of the bus, of talks, of transfers, and of where the store is: for machines alone."""
MESH_PORT = 51820
"""Of UDP, at which a machine is reached by the others."""
NEEDED = [MESH_PORT, DOOR, PORT, *INNER]
"""All ports of a machine that is, or becomes, one of a mesh."""
MTU = 1420
"""Bytes of the largest packet: what WireGuard leaves of 1500."""
LEAVE, GATHER = "leave", "gather"
"""What a machine is asked by others: to go once it was removed, and to see to the store."""
ANSWERS = 3.0
"""Seconds until a machine that says nothing counts as out of reach."""
GOES = 0.2
"""Seconds between a machine's word that it leaves and its leaving."""
AGAIN = 5.0
"""Seconds until what could not be applied is tried once more."""

log = logging.getLogger("ployzd")


@dataclass(frozen=True)
class Place:
    """Where the machine keeps what it is: its data directory."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "membership.json"

    @property
    def tunnel(self) -> Tunnel:
        """The way to the door of another mesh."""
        return Tunnel(self.folder / "guest", MTU)

    def wireguard(self, now: Membership) -> Wireguard:
        here, cidr = now.here.overlay_ip, now.cluster.cidr
        return Wireguard(MESH, self.folder / "mesh", here, cidr, MESH_PORT, MTU, (addressing.door(cidr),))

    async def ensure(self, now: Membership) -> None:
        """Be on the mesh with the machines last known, before anything is asked of the store; or be on none."""
        host_network.reserve(NEEDED)
        await self.tunnel.clear()
        if now.cluster.mesh:
            await self.wireguard(now).ensure()
            await self.wireguard(now).apply(peering.peers(now.here, now.machines, (), rfc3339()))
        else:
            await self.wireguard(now).remove()
            await self.rules(now).remove()

    def rules(self, now: Membership) -> MeshRules:
        cidr = now.cluster.cidr
        door = (addressing.door(cidr), DOOR)
        return MeshRules(MESH, BRIDGE, cidr, now.here.subnet, addressing.guests(cidr), door, INNER)


@dataclass
class Meshing:
    """`membership` is what the daemon runs as, `server` its part of the bus; `again` starts the daemon anew in place,
    and does not return."""

    place: Place
    membership: Membership
    members: Members
    mirror: Mirror
    vault: Vault
    calls: Calls
    server: OwnServer
    again: Callable[[], None]
    left: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    at_work_here: Callable[[], list[str]] = field(default=list, init=False)
    _applying: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    @property
    def _wireguard(self) -> Wireguard:
        return self.place.wireguard(self.membership)

    # ------------------------------------------------------------------------------------- what it is, and is asked

    async def keys(self) -> Keys:
        return Keys(await self._wireguard.public_key(), self.server.public_key())

    async def endpoint(self, towards: str | None = None) -> str | None:
        found = await host_network.address(towards, (MESH, BRIDGE, INTERFACE, DOCKER))
        return f"{found}:{MESH_PORT}" if found else None

    async def guest(self, invitation: str) -> str:
        return await public_key_of(self._guest_secret(invitation))

    def _guest_secret(self, invitation: str) -> str:
        """Nobody keeps it: this machine's key and the invitation's name make it, each time the same."""
        return base64.b64encode(bytes.fromhex(self.vault.fingerprint(b"guest " + invitation.encode()))).decode()

    def token(self, invited: Invited) -> str:
        """The token of an invitation that this machine made."""
        return letters.token(letters.of(invited, self.membership.cluster, self._guest_secret(invited.id)))

    async def networks(self) -> dict[str, str]:
        return await host_network.networks((MESH, BRIDGE, INTERFACE))

    async def strangers(self) -> dict[str, str]:
        """Only asked while it is no member: then its own server is all of ours that listens there."""
        own = [pid for pid in (os.getpid(), await self.server.running()) if pid]
        return {str(port): who for port, who in host_network.holders(NEEDED, own).items()}

    async def open_operations(self, by: str) -> list[str]:
        open = journal.unanswered(self.place.folder / "operations")
        return [story.operation for story in open if story.operation != by]

    async def knock(self, letter: bytes, ask: MachineAdmit, *, preview: bool) -> Admitted | None:
        opened = letters.read(self.vault.unseal(letter).decode())
        knock = Knock(structs.replace(ask, at=rfc3339()), preview)
        return await self.place.tunnel.knock(opened, knock)

    async def become(self, wanted: Membership) -> None:
        if self.membership.is_as(wanted):
            return
        membership.save(self.place.file, wanted)
        self.again()

    async def abandon(self) -> None:
        """Be a cluster of its own, whatever the others know of it; with new keys, for the old ones may be refused."""
        if self.membership.cluster.mesh:
            membership.save(self.place.file, membership.left(self.membership, rfc3339()))
            for key in (self.place.folder / "mesh" / "machine.key", self.place.folder / "store" / "machine.seed"):
                key.unlink(missing_ok=True)
            self.again()

    # --------------------------------------------------------------------------------------------- being one of many

    async def start(self) -> None:
        """What needs the engine's own firewall to be there."""
        if self.membership.cluster.mesh:
            await self.place.rules(self.membership).ensure()

    async def links(self) -> list[Link]:
        """The peers as the interface has them; none where this machine is on no mesh."""
        return await self._wireguard.links() if self.membership.cluster.mesh else []

    async def seen(self, key: str) -> str | None:
        """The address from which a peer of this public key was heard last."""
        links = {link.peer.key: link.peer.endpoint for link in await self.links()}
        return (links.get(key) or "").rpartition(":")[0] or None

    async def apply(self) -> None:
        async with self._applying:
            machines, invitations = await self._known()
            if machines.keys() and self.membership.name in machines:
                await self._apply(machines, invitations)

    async def _apply(self, machines: dict[str, Machine], invitations: list[Invitation]) -> None:
        told, known = self.mirror.cluster(), self.membership.cluster
        cluster = told if told and told.incarnation >= known.incarnation else known
        now = Membership(structs.replace(cluster, claims=()), self.membership.name, machines)
        if now != self.membership and now.is_as(self.membership):  # else somebody is about to `become` it
            membership.save(self.place.file, now)
            self.membership = now
        if self.membership.cluster.mesh:
            await self._wireguard.apply(self._peers(machines, invitations))
        await self.server.follow(self.membership)

    async def turn(self, cluster: Cluster, machines: dict[str, Machine]) -> None:
        """Go by a store that came after this machine's; an older one is nothing new."""
        async with self._applying:
            known = self.membership.cluster
            if cluster.id != known.id or cluster.incarnation <= known.incarnation:
                return
            now = Membership(structs.replace(cluster, claims=()), self.membership.name, machines)
            membership.save(self.place.file, now)
            self.membership = now
            await self._wireguard.apply(self._peers(machines, list(self.mirror.invitations().values())))
            await self.server.follow(now)

    async def _known(self) -> tuple[dict[str, Machine], list[Invitation]]:
        """What the store says; while it does not answer, what it said last."""
        try:
            return await self.members.machines(), list((await self.members.invitations()).values())
        except Problem:
            return self.mirror.machines() or self.membership.machines, list(self.mirror.invitations().values())

    async def follow(self) -> None:
        """Apply what changes of machines and invitations, as it changes, for ever."""
        self.mirror.listen(self._hear)
        while True:
            self._news.clear()
            try:
                await self.apply()
                pause = None
            except (CommandError, StoreDown) as failure:
                log.error("cannot apply the machines of the mesh, and try again: %s", failure)
                pause = AGAIN
            await self._wait(pause)

    async def _wait(self, pause: float | None) -> None:
        """Until something changes, the next guest's time is over, or, after a failure, for a pause."""
        change = peering.next_change(self.membership.name, self.mirror.invitations().values(), rfc3339())
        seconds = pause or (apart(change, rfc3339()) if change else None)
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def _hear(self, key: str) -> None:
        if key.partition(".")[0] in ("machines", "invitations", "cluster"):
            self._news.set()

    async def answers(self, machine: str) -> bool:
        try:
            return await self.calls.request(f"svc.{machine}.{HELLO}", b"", ANSWERS) == machine.encode()
        except CallFailed:
            return False

    async def at_work(self) -> list[str]:
        return self.at_work_here()

    async def gather(self) -> None:
        store = self.membership.cluster.store
        for name in store:
            try:
                await self.calls.request(f"svc.{name}.{GATHER}", b"", ANSWERS)
                return
            except CallFailed as failure:
                if self.membership.cluster.store != store:
                    return  # the answer is lost where both went over to the new one
                log.warning("%s does not say that it has seen to the store: %s", name, failure)

    async def dismiss(self, machine: str) -> None:
        try:
            await self.calls.request(f"svc.{machine}.{LEAVE}", b"", ANSWERS)
        except CallFailed as failure:
            log.warning("%s was removed, and does not know yet: %s", machine, failure)

    async def answer(self) -> None:
        """Answer other machines from now on."""
        await self.calls.answer(f"svc.{self.membership.name}.{HELLO}", self._hello)
        await self.calls.answer(f"svc.{self.membership.name}.{LEAVE}", self._leave)

    async def _hello(self, _: Question) -> bytes:
        return self.membership.name.encode()

    async def _leave(self, _: Question) -> bytes:
        """What counts is the record: whoever asks, only a machine that leaves, or was removed, goes."""
        record = (await self.members.machines()).get(self.membership.name)
        if record is None or record.state == "leaving":
            self.left.set()
            asyncio.get_running_loop().call_later(GOES, lambda: asyncio.create_task(self.abandon()))
        return b""

    async def differs(self) -> str:
        if not self.membership.cluster.mesh:
            return ""
        machines, invitations = await self._known()
        wrong = await self._wireguard.differs(self._peers(machines, invitations))
        return wrong or await self.place.rules(self.membership).differs()

    def _peers(self, machines: dict[str, Machine], invitations: list[Invitation]) -> list[Peer]:
        return peering.peers(machines.get(self.membership.name, self.membership.here), machines, invitations, rfc3339())
