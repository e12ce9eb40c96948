"""An instance's way into the network: two interfaces, one on the bridge, the other, `eth0`, in its namespace."""

import hashlib
import json
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from runtime.command import CommandFailed, run
from runtime.instance import EngineProblem
from runtime.network import Bridge


@dataclass(frozen=True)
class Pair:
    """The interfaces of one instance; `name` is that of the machine's end, of at most 15 bytes (ip-link(8))."""

    id: str
    bridge: Bridge

    @property
    def name(self) -> str:
        return f"ph{hashlib.sha256(self.id.encode()).hexdigest()[:12]}"

    @staticmethod
    def hardware_address(ip: str) -> str:
        """The same for an address at each start, and what a container of that address has: neighbours remember it."""
        return ":".join(f"{byte:02x}" for byte in (0x02, 0x42, *ip_address(ip).packed))

    async def join(self, pid: int, ip: str) -> None:
        """Give the network namespace of `pid` this address on the bridge. Raises CommandError, EngineProblem."""
        bridge, size = self.bridge, str(self.bridge.mtu)
        enter = ("nsenter", f"--target={pid}", "--net", "--", "ip")
        peer = ("peer", "name", "eth0", "mtu", size, "address", self.hardware_address(ip), "netns", str(pid))
        await run("ip", "link", "add", self.name, "mtu", size, "type", "veth", *peer)
        await run("ip", "link", "set", self.name, "master", bridge.interface, "up")
        # An instance may reach itself through the address of its own service.
        await run("ip", "link", "set", self.name, "type", "bridge_slave", "hairpin", "on")
        await run(*enter, "link", "set", "lo", "up")
        await run(*enter, "addr", "add", f"{ip}/{ip_network(bridge.subnet).prefixlen}", "dev", "eth0")
        await run(*enter, "link", "set", "eth0", "up")
        await run(*enter, "route", "replace", "default", "via", bridge.gateway)
        await self._require(enter, ip)

    async def _require(self, enter: tuple[str, ...], ip: str) -> None:
        told = json.loads(await run(*enter, "-j", "addr", "show", "dev", "eth0"))
        has = [address.get("local") for link in told for address in link.get("addr_info", [])]
        if ip not in has or not await self._there(master=self.bridge.interface):
            raise EngineProblem(f"cannot give {self.id} the address {ip}: `ip` said it was done, and it is not")

    async def remove(self) -> None:
        """Remove them, and see them gone: with their namespace they would go some time later. Absent is fine."""
        if not await self._there():
            return
        try:
            await run("ip", "link", "del", self.name)
        except CommandFailed:
            if await self._there():
                raise

    async def _there(self, *, master: str | None = None) -> bool:
        links = json.loads(await run("ip", "-j", "link", "show") or "[]")
        return any(link["ifname"] == self.name and master in (None, link.get("master")) for link in links)
