"""The firewall's part of the mesh: what comes over it and may pass, and that instances keep their addresses on it.

The rules never change while a machine is a member: guests are told from machines by the network that they are in, and
WireGuard takes from each of them only what comes from its own address.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from shutil import which

from dataplane.firewall import THROUGH, FirewallProblem
from runtime.command import CommandFailed, finish, run

TABLE = "ployz_mesh"


@dataclass(frozen=True)
class MeshRules:
    """Of one machine in the `network` of a mesh, with its instances' `subnet`; `guests` is the network of guests.

    `interface` is the mesh's, `bridge` the instances'. Guests may reach `door` (an address, and a port of TCP) and
    nothing else; only machines may reach the ports in `inner`. Verbs raise CommandError or one of its kinds.
    """

    interface: str
    bridge: str
    network: str
    subnet: str
    guests: str
    door: tuple[str, int]
    inner: Sequence[int]

    async def ensure(self) -> None:
        """Have them, in one transaction, and read them back."""
        await run("nft", "-f", "-", input=self.text())
        if which("iptables"):
            await self._let_through()
        if wrong := await self.differs():
            raise FirewallProblem(wrong)

    async def remove(self) -> None:
        """Have none of them. Absent is fine."""
        if await self._listed():
            await run("nft", "delete", "table", "ip", TABLE)
        if which("iptables") and await self._passes():
            await run("iptables", "-w", "-D", *self._rule.split())

    async def differs(self) -> str:
        """Ask the kernel whether it holds them: empty if so, else what differs."""
        if (found := await self._listed()) != self._comments():
            return f"the table {TABLE} has the rules {found}, not {self._comments()}"
        return ""

    def text(self) -> str:
        """What `nft -f -` is given. The bits of a machine's own address are known: it is the first of its /24."""
        inner = ", ".join(map(str, self.inner))
        (address, port), mesh = self.door, f'iifname "{self.interface}"'
        own = ip_network(self.subnet)[1]
        machine = f"ip saddr {self.network} ip saddr & 0.0.0.255 == 0.0.0.1"
        return f"""\
table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
  chain input {{
    type filter hook input priority filter - 10
    {mesh} ip saddr {self.guests} ip daddr {address} tcp dport {port} accept comment "guests at the door"
    {mesh} ip saddr {self.guests} drop comment "guests elsewhere"
    ip daddr {address} drop comment "others at the door"
    {mesh} {machine} tcp dport {{ {inner} }} accept comment "machines"
    iifname {{ "{self.interface}", "{self.bridge}" }} tcp dport {{ {inner} }} drop comment "others"
    ip daddr {own} iifname != "lo" tcp dport {{ {inner} }} drop comment "from beside the mesh"
  }}
  chain forward {{
    type filter hook forward priority filter - 10
    {mesh} ip saddr {self.guests} drop comment "guests beyond"
    oifname "{self.interface}" ip daddr {self.guests} drop comment "to guests"
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat - 10
    oifname "{self.interface}" ip saddr {self.subnet} snat to ip saddr comment "own addresses"
  }}
}}
"""

    def _comments(self) -> list[str]:
        return [line.split('"')[-2] for line in self.text().splitlines() if "comment" in line]

    async def _listed(self) -> list[str]:
        try:
            told = json.loads(await run("nft", "-j", "list", "table", "ip", TABLE))
        except CommandFailed:
            tables = json.loads(await run("nft", "-j", "list", "tables", "ip"))
            if any(line.get("table", {}).get("name") == TABLE for line in tables["nftables"]):
                raise
            return []
        return [line["rule"].get("comment", "") for line in told["nftables"] if "rule" in line]

    # Docker drops what comes to its bridge from outside, and what one table dropped no other can accept.

    @property
    def _rule(self) -> str:
        return f"{THROUGH} -i {self.interface} -o {self.bridge} -j ACCEPT"

    async def _let_through(self) -> None:
        if await self._passes() is False:
            await run("iptables", "-w", "-I", *self._rule.split())
            if not await self._passes():
                raise FirewallProblem(f"cannot let the mesh through: `iptables -I {self._rule}` had no effect")

    async def _passes(self) -> bool | None:
        """None where Docker has no such chain, and drops nothing."""
        listed = await finish("iptables", "-w", "-S", THROUGH, may_exit=(0, 1))
        return None if listed.code else f"-A {self._rule}" in listed.out.splitlines()
