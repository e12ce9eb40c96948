"""Virtual addresses and published ports: one nftables table leads them to instances, replaced in one transaction."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import which

from dataplane.maps import TABLE, Elements, Maps, comments, elements, maps_of, parse, replaced, whole
from dataplane.sockets import listening
from runtime.command import CommandError, CommandFailed, CommandTimedOut, finish, run

THROUGH = "DOCKER-USER"
"""The chain that Docker keeps for rules of others, and asks before its own."""


class FirewallProblem(CommandError):
    """The kernel does not hold what it was given, or lacks what virtual addresses need."""


@dataclass(frozen=True)
class Firewall:
    """The table of this machine. `services` is the range of virtual addresses, `interface` the bridge that
    instances are on, and `address` the machine's own there.

    Each verb raises CommandError or one of its kinds; `within` is the seconds that one `nft` may take.
    """

    services: str
    interface: str
    address: str
    nft: str = "nft"
    within: float = 10.0
    settings: Path = Path("/proc/sys/net")

    async def ensure(self) -> None:
        """Have the kernel route the range and see bridged packets. The bridge has to be there already."""
        if not (self.settings / "bridge").exists():
            await run("modprobe", "br_netfilter", may_exit=(0, 1))
        self._set("ipv4/ip_forward", "instances cannot be reached by service addresses")
        self._set("bridge/bridge-nf-call-iptables", "instances on one bridge cannot reach each other by them")
        if (self.settings / "ipv4/tcp_migrate_req").exists():  # since Linux 5.14
            self._set("ipv4/tcp_migrate_req", "a reload of the gateway may lose a request")
        route = (self.services, "dev", self.interface, "src", self.address)
        await run("ip", "route", "replace", *route)
        if not json.loads(await run("ip", "-j", "route", "show", *route)):
            raise FirewallProblem(f"cannot route {' '.join(route)}: `ip route replace` had no effect")
        if which("iptables"):
            await self._let_through()

    async def apply(self, maps: Maps) -> None:
        """Lead virtual addresses so, and no others, from one instant on. Open connections stay where they are.

        What counts is what the kernel holds afterwards: neither an exit code nor a time limit proves anything.
        """
        if await self._load(replaced(maps), maps) and (failure := await self._load(whole(maps, self.services), maps)):
            raise failure

    async def check(self, maps: Maps) -> None:
        """Have `nft` validate what `apply` would give it."""
        await run(self.nft, "-c", "-f", "-", input=whole(maps, self.services), within=self.within)

    async def differs(self, maps: Maps) -> str:
        """Ask the kernel whether it holds exactly these maps: empty if so, else what differs."""
        found, held = await self._listed()
        if not found:
            return f"there is no table {TABLE}, or no rule in it"
        if found != comments(self.services):
            return f"the table {TABLE} has the rules {found}, not {comments(self.services)}"
        for name, wanted in elements(maps).items():
            has = held.get(name, {})
            if apart := [key for key in has.keys() | wanted.keys() if has.get(key) != wanted.get(key)]:
                key = min(apart, key=str)
                return f"{name} leads {key} to {has.get(key)}, not to {wanted.get(key)}"
        return ""

    async def listening(self) -> set[int]:
        """The ports at which the host's own processes can be reached: to publish one of them would cut it off."""
        return listening()

    async def read(self) -> Maps:
        """What the kernel holds; empty maps where there is no table."""
        return maps_of((await self._listed())[1])

    async def _let_through(self) -> None:
        """Have the engine's own firewall, where there is one, forward what a published port led to an instance.

        Docker drops whatever it did not publish itself, and what one table dropped no other can accept.
        """
        rule = f"{THROUGH} -o {self.interface} -m conntrack --ctstate DNAT -j ACCEPT"
        list_them = partial(finish, "iptables", "-w", "-S", THROUGH, may_exit=(0, 1))
        listed = await list_them()
        if listed.code == 1 or f"-A {rule}" in listed.out.splitlines():
            return  # 1: there is no such chain
        await run("iptables", "-w", "-I", *rule.split())
        if f"-A {rule}" not in (await list_them()).out.splitlines():
            raise FirewallProblem(f"cannot let published ports through: `iptables -I {rule}` had no effect")

    async def _load(self, text: str, maps: Maps) -> CommandError | None:
        """Why the kernel does not hold these maps after `nft` was given the text; None if it does."""
        failure: CommandError = FirewallProblem("`nft` exited with 0")
        try:
            await run(self.nft, "-f", "-", input=text, within=self.within)
        except (CommandFailed, CommandTimedOut) as error:
            failure = error
        differs = await self.differs(maps)
        return FirewallProblem(f"{failure}, but {differs}") if differs else None

    async def _listed(self) -> tuple[list[str], Elements]:
        try:
            return parse(json.loads(await run(self.nft, "-j", "list", "table", "ip", TABLE, within=self.within)))
        except CommandFailed:
            tables = json.loads(await run(self.nft, "-j", "list", "tables", "ip", within=self.within))
            if any(line.get("table", {}).get("name") == TABLE for line in tables["nftables"]):
                raise
            return [], {}

    def _set(self, name: str, otherwise: str) -> None:
        """Switch a setting of the kernel's network on, and read it back; nothing is written where it is on already."""
        path = self.settings / name
        try:
            if path.read_text().strip() != "1":
                path.write_text("1")
            if path.read_text().strip() == "1":
                return
            why = "the kernel did not take it"
        except OSError as error:
            why = f"{error.strerror}"
        raise FirewallProblem(f"cannot set net.{name.replace('/', '.')} to 1: {why}; without it {otherwise}")
