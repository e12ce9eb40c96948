"""Virtual addresses: one table of nftables that sends each service's address to its instances, replaced as a whole.

Members of an open operation's view are told by their source address and come first. An address without an
instance is refused at once. Established connections stay where conntrack has them when the table is replaced.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from runtime.command import CommandFailed, finish, run

MOST_SLOTS = 60
"""The table spreads by a random number modulo the slots; 60 divides evenly by 1 to 6 instances."""

SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/tcp_migrate_req": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
}
"""Forwarding between instances; connections that survive a gateway's reload; translation on the way back from an
instance on the same bridge (without it, answers come from the wrong address and connections hang)."""


class FirewallProblem(Exception):
    """nftables did not take what it was given, or holds something else than it was given."""


@dataclass(frozen=True, order=True)
class Target:
    """Where an instance listens."""

    ip: str
    port: int


@dataclass(frozen=True)
class Maps:
    """(virtual address, port) → instances, for everybody; (source, virtual address, port) → instances, for members.

    `instances` are all their addresses: one that reaches itself through its own service has to be masqueraded.
    """

    everybody: Mapping[tuple[str, int], tuple[Target, ...]] = field(default_factory=dict)
    members: Mapping[tuple[str, str, int], tuple[Target, ...]] = field(default_factory=dict)
    instances: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Firewall:
    """The table `ployz` of this network namespace. `services` is the range of virtual addresses."""

    services: str
    interface: str
    address: str
    program: str = "nft"

    async def ensure(self) -> None:
        """Have the kernel forward, translate on bridges, and know where virtual addresses lie."""
        for name, value in SYSCTLS.items():
            _set(Path("/proc/sys") / name, value)
        await run("ip", "route", "replace", self.services, "dev", self.interface, "src", self.address)

    async def apply(self, maps: Maps) -> None:
        """Replace the whole table in one transaction, and read it back."""
        objection = await self._load(self.render(maps))
        if await self.read() != slots(maps):
            raise FirewallProblem(
                f"the virtual addresses are not as they were given to nft; {objection or 'it said ok'}"
            )

    async def check(self, maps: Maps) -> None:
        """Have nft look at the table without loading it."""
        if objection := await self._load(self.render(maps), "--check"):
            raise FirewallProblem(f"nft would not take the virtual addresses: {objection}")

    async def read(self) -> dict[str, str]:
        """What the kernel sends where: `[source ]address port slot` → `ip port`. Empty if there is no table."""
        told = await finish(self.program, "-j", "list", "table", "ip", "ployz", may_exit=(0, 1))
        if told.code == 1 and "No such file" in told.error:
            return {}
        if told.code != 0:
            raise FirewallProblem(f"nft does not tell what it holds: {told.error.strip()}")
        return dict(_elements(told.out))

    async def _load(self, text: str, *options: str) -> str:
        try:
            await run(self.program, *options, "-f", "-", input=text, within=30)
        except CommandFailed as failed:
            return failed.error.strip() or str(failed)
        return ""

    def render(self, maps: Maps) -> str:
        """The table as nft reads it."""
        each, own = _count(maps), ", ".join(f"{ip} . {ip}" for ip in sorted(maps.instances))
        lookup = f"th dport . numgen random mod {each}"
        return f"""table ip ployz
delete table ip ployz
table ip ployz {{
  map everybody {{ typeof ip daddr . th dport . numgen random mod 2 : ip daddr . th dport
    {_listed(_everybody(maps))}
  }}
  map members {{ typeof ip saddr . ip daddr . th dport . numgen random mod 2 : ip daddr . th dport
    {_listed(_members(maps))}
  }}
  set own {{ typeof ip saddr . ip daddr
    {f"elements = {{ {own} }}" if own else ""}
  }}
  chain prerouting {{
    type nat hook prerouting priority -105
    meta l4proto {{ tcp, udp }} dnat ip to ip saddr . ip daddr . {lookup} map @members
    meta l4proto {{ tcp, udp }} dnat ip to ip daddr . {lookup} map @everybody
  }}
  chain output {{
    type nat hook output priority -105
    meta l4proto {{ tcp, udp }} dnat ip to ip daddr . {lookup} map @everybody
  }}
  chain postrouting {{
    type nat hook postrouting priority 95
    ct status dnat ip saddr . ip daddr @own masquerade
  }}
  chain forwarding {{
    type filter hook forward priority -10
    {self._refused()}
  }}
  chain leaving {{
    type filter hook output priority -10
    {self._refused()}
  }}
}}
"""

    def _refused(self) -> str:
        return f"ip daddr {self.services} meta l4proto tcp reject with tcp reset\n    ip daddr {self.services} reject"


def slots(maps: Maps) -> dict[str, str]:
    """The elements of both maps, as `Firewall.read` tells them."""
    return {key.replace(" . ", " "): value.replace(" . ", " ") for key, value in [*_everybody(maps), *_members(maps)]}


def _count(maps: Maps) -> int:
    counts = [len(targets) for targets in [*maps.everybody.values(), *maps.members.values()]]
    return min(math.lcm(*counts), MOST_SLOTS) if counts else 1


def _everybody(maps: Maps) -> Iterator[tuple[str, str]]:
    for (address, port), targets in sorted(maps.everybody.items()):
        yield from _spread(f"{address} . {port}", targets, _count(maps))


def _members(maps: Maps) -> Iterator[tuple[str, str]]:
    for (source, address, port), targets in sorted(maps.members.items()):
        yield from _spread(f"{source} . {address} . {port}", targets, _count(maps))


def _spread(key: str, targets: tuple[Target, ...], count: int) -> Iterator[tuple[str, str]]:
    for slot in range(count):
        target = targets[slot % len(targets)]
        yield f"{key} . {slot}", f"{target.ip} . {target.port}"


def _listed(elements: Iterable[tuple[str, str]]) -> str:
    told = ", ".join(f"{key} : {value}" for key, value in elements)
    return f"elements = {{ {told} }}" if told else ""


def _elements(told: str) -> Iterator[tuple[str, str]]:
    for item in msgspec.json.decode(told)["nftables"]:
        for key, value in item.get("map", {}).get("elem", ()):
            yield _joined(key), _joined(value)


def _joined(told: Any) -> str:
    return " ".join(str(word) for word in told["concat"])


def _set(file: Path, value: str) -> None:
    try:
        file.write_text(value)
        told = file.read_text().strip()
    except OSError as error:
        raise FirewallProblem(f"cannot set {file} to {value}: {error.strerror}") from None
    if told != value:
        raise FirewallProblem(f"cannot set {file} to {value}: it stays {told}")
