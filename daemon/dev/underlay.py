"""The network below a local cluster: a bridge in an enclosure of its own, to which each machine has a link.

It is private to its cluster, so every cluster has the same addresses, and nothing of it is seen on the host.
"""

import json
from dataclasses import dataclass
from typing import Any

from daemon.dev.enclosure import Enclosure, MachineFailed, Words
from daemon.dev.partings import CHAIN, LIST, MAKE_CHAIN, TABLE, listed, rules
from daemon.wire import DevParting
from runtime.command import run

NAME = "underlay"
INTERFACE = "eth0"
"""What a machine calls its end of the link; the bridge's end is called as the machine."""
READYING: tuple[Words, ...] = (
    ("ip", "link", "add", NAME, "type", "bridge"),
    ("ip", "link", "set", NAME, "up"),
    ("nft", "add", "table", *TABLE),
    ("nft", "add", "chain", *TABLE, CHAIN, MAKE_CHAIN),
)


def address_of(machine: str) -> str:
    """The address of m1, m2, … in the underlay."""
    return f"192.168.77.{machine.removeprefix('m')}"


@dataclass(frozen=True)
class Underlay:
    """The bridge of one cluster, and what holds it."""

    enclosure: Enclosure

    async def connects(self, machine: Enclosure) -> bool:
        """Whether the machine has its link and address, and the bridge the other end. Raises as `connect`."""
        ports = await self._asked(self.enclosure, "ip", "-j", "link", "show", "master", NAME, "up")
        links = await self._asked(machine, "ip", "-j", "-4", "address", "show", "up")
        addresses = {(link["ifname"], each["local"]) for link in links for each in link["addr_info"]}
        plugged = machine.name in {port["ifname"] for port in ports}
        return plugged and (INTERFACE, address_of(machine.name)) in addresses

    async def connect(self, machine: Enclosure) -> None:
        """Link the machine to the bridge, and give it its address. Raises MachineFailed, CommandError."""
        port, pid = machine.name, str(machine.runs().pid)
        if port in {link["ifname"] for link in await self._asked(self.enclosure, "ip", "-j", "link")}:
            await self._in(self.enclosure, "ip", "link", "delete", port)  # what a start that was cut off has left
        link = ("type", "veth", "peer", "name", INTERFACE, "netns", pid)
        await self._in(self.enclosure, "ip", "link", "add", port, *link)
        await self._in(self.enclosure, "ip", "link", "set", port, "master", NAME, "up")
        await self._in(machine, "ip", "address", "add", f"{address_of(machine.name)}/24", "dev", INTERFACE)
        await self._in(machine, "ip", "link", "set", INTERFACE, "up")
        if not await self.connects(machine):
            raise MachineFailed(f"{machine.name} has no link to the underlay, although it was made")

    async def partings(self) -> list[DevParting]:
        """What the kernel loses between machines, oldest first. Raises MachineFailed, CommandError."""
        return listed(await self._in(self.enclosure, *LIST))

    async def part(self, partings: list[DevParting]) -> None:
        """Lose exactly this from now on. Raises MachineFailed, CommandError."""
        await self._in(self.enclosure, "nft", "-f", "-", given=rules(partings))
        if (held := await self.partings()) != partings:
            raise MachineFailed(f"the underlay was told to lose {partings}, and loses {held}")

    async def _asked(self, place: Enclosure, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(await self._in(place, *words) or "[]")
        return [link for link in found if link]

    async def _in(self, place: Enclosure, *words: str, given: str = "") -> str:
        """What a command in its network says. Only that is entered: the pid of another one means nothing in it."""
        network = f"--net=/proc/{place.runs().pid}/ns/net"
        return await run("nsenter", network, "--", *words, input=given)
