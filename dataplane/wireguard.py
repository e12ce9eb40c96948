"""The mesh: a machine's WireGuard interface, by the kernel or by wireguard-go, its peers always replaced whole."""

import asyncio
import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dataplane.peers import Link, Peer, WireguardProblem, configuration, differs, parse, require_sound
from dataplane.process import Process, ProcessDied
from dataplane.secret_file import write_secret
from runtime.command import CommandError, CommandFailed, run

APPEARS = 5.0
"""Seconds that wireguard-go may take to make its interface."""


DOORS = Path("/var/run/wireguard")
"""Where wireguard-go listens, a socket for each interface."""


async def public_key_of(private_key: str) -> str:
    """The public key that belongs to a private one, both in base64."""
    return (await run("wg", "pubkey", input=private_key)).strip()


@dataclass(frozen=True)
class Wireguard:
    """The interface of this machine. `address` is its own on the mesh, `network` (CIDR) all that lies behind it, `also`
    other addresses that it has there.

    `folder` keeps its private key and wireguard-go's log; it listens for others on `port`. Each verb raises
    CommandError or one of its kinds.
    """

    interface: str
    folder: Path
    address: str
    network: str
    port: int
    mtu: int = 1420
    also: tuple[str, ...] = ()

    async def public_key(self) -> str:
        """By which others know this machine. Its private key is made once, and never leaves `folder`."""
        return await public_key_of(await self._private_key())

    async def ensure(self) -> None:
        """Have the interface, with its key, port, address and route; peers that it has stay."""
        if not await self._there():
            await self._make()
        await self._answering()
        await run(
            "wg", "set", self.interface, "listen-port", str(self.port), "private-key", str(await self._key_file())
        )
        for address in (self.address, *self.also):
            await run("ip", "address", "replace", f"{address}/32", "dev", self.interface)
        await run("ip", "link", "set", self.interface, "mtu", str(self.mtu), "up")
        await run("ip", "route", "replace", *self._route)
        if wrong := await self._differs():
            raise WireguardProblem(f"cannot set {self.interface} up: {wrong}")

    async def apply(self, peers: Sequence[Peer]) -> None:
        """Have exactly these peers. Sessions with those that stay the same go on.

        Raises WireguardProblem, with nothing changed, for what `wg` would take without a word and not mean: a key that
        is none, or a network that two peers claim.
        """
        require_sound(peers)
        failure: CommandError | None = None
        try:
            asked = configuration(await self._private_key(), self.port, peers)
            await run("wg", "syncconf", self.interface, "/dev/stdin", input=asked)
        except CommandFailed as problem:
            failure = problem
        if wrong := differs(await self.links(), peers):
            raise failure or WireguardProblem(f"`wg syncconf` exited with 0, but {wrong}")

    async def links(self) -> list[Link]:
        """The peers as the interface has them, by key, with what went to and fro."""
        return parse(await run("wg", "show", self.interface, "dump")).links

    async def differs(self, peers: Sequence[Peer]) -> str:
        """Ask the interface whether it is up with exactly these peers: empty if so, else what differs."""
        if not await self._there():
            return f"there is no interface {self.interface}"
        return await self._differs() or differs(await self.links(), peers)

    async def remove(self) -> None:
        """Take the interface away; the key stays. Absent is fine."""
        if await self._there():
            await run("ip", "link", "delete", self.interface)
        await self.userspace.stop()
        if await self._there():
            raise WireguardProblem(f"cannot remove {self.interface}: `ip link delete` exited with 0, but it is there")

    # ------------------------------------------------------------------------------------------- the interface

    async def _make(self) -> None:
        try:
            await run("ip", "link", "add", self.interface, "type", "wireguard")
        except CommandFailed as no_kernel:
            await self._make_in_userspace(no_kernel)

    async def _make_in_userspace(self, no_kernel: CommandFailed) -> None:
        await self.userspace.ensure()
        try:
            async with asyncio.timeout(APPEARS):
                while not await self._there():
                    self.userspace.require_alive()
                    await asyncio.sleep(0.02)
        except (TimeoutError, ProcessDied):
            said = self.userspace.said() or "it said nothing"
            why = f"the kernel has no WireGuard ({no_kernel.error.strip()}), and wireguard-go made none: {said}"
            raise WireguardProblem(f"cannot make {self.interface}: {why}") from None

    async def _answering(self) -> None:
        """Wait until the process listens that is the interface: that is there before, and `wg` would ask the kernel."""
        try:
            async with asyncio.timeout(APPEARS):
                while self.userspace.running() and not _listens(DOORS / f"{self.interface}.sock"):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            why = f"wireguard-go made it, and does not listen: {self.userspace.said() or 'it said nothing'}"
            raise WireguardProblem(f"cannot set {self.interface} up: {why}") from None

    @property
    def userspace(self) -> Process:
        """The process that is the interface where the kernel has no WireGuard."""
        told = {"WG_PROCESS_FOREGROUND": "1", "LOG_LEVEL": "error"}
        return Process("wireguard-go", ("wireguard-go", "-f", self.interface), self.folder, told)

    @property
    def _route(self) -> tuple[str, ...]:
        # Without `src` the machine itself would speak from its address on the underlay, which nobody answers.
        return (self.network, "dev", self.interface, "src", self.address)

    async def _there(self) -> bool:
        return any(link["ifname"] == self.interface for link in json.loads(await run("ip", "-j", "link", "show")))

    async def _differs(self) -> str:
        """What of the interface is not as it should be; empty if all is."""
        told = parse(await run("wg", "show", self.interface, "dump"))
        if told.public_key != await self.public_key() or told.port != self.port:
            return f"it has the key {told.public_key} and port {told.port}"
        [link] = json.loads(await run("ip", "-j", "address", "show", "dev", self.interface))
        if link["mtu"] != self.mtu or "UP" not in link["flags"]:
            return f"its mtu is {link['mtu']} and its state {','.join(link['flags'])}"
        if missing := {self.address, *self.also} - {each.get("local") for each in link["addr_info"]}:
            return f"it has not the address {', '.join(missing)}"
        routes = json.loads(await run("ip", "-j", "route", "show", *self._route))
        return "" if routes else f"there is no route {' '.join(self._route)}"

    # ------------------------------------------------------------------------------------------------ the key

    async def _private_key(self) -> str:
        return (await self._key_file()).read_text()

    async def _key_file(self) -> Path:
        file = self.folder / "machine.key"
        if not file.exists():
            write_secret(file, (await run("wg", "genkey")).encode())
        return file


def _listens(door: Path) -> bool:
    """Asked without `wg`, which removes the door of whoever is about to listen."""
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(str(door))
        except OSError:
            return False
    return True
