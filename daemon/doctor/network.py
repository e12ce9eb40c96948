"""The machine's network: what the kernel forwards, and who listens where the data plane does."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.doctor.assumption import Finding, failure, ok, warning
from dataplane import sockets
from dataplane.probe import largest
from runtime.command import run

WIREGUARD = 80
"""Bytes that it adds to a packet, over IPv6."""
SETTINGS = ("ipv4/ip_forward", "bridge/bridge-nf-call-iptables")


@dataclass(frozen=True)
class Door:
    """A port that a process of the data plane has to listen on; `pid` finds that process."""

    name: str
    port: int
    pid: Callable[[], Awaitable[int | None]]


async def forwarding(folder: Path = Path("/proc/sys/net")) -> Finding:
    return judge_forwarding({name: _read(folder / name) for name in SETTINGS})


def _read(setting: Path) -> str:
    try:
        return setting.read_text().strip()
    except FileNotFoundError:
        return "missing"


def judge_forwarding(settings: dict[str, str]) -> Finding:
    if wrong := {name: found for name, found in settings.items() if found != "1"}:
        said = ", ".join(f"net.{name.replace('/', '.')} is {found}" for name, found in wrong.items())
        sets = " ".join(f"net.{name.replace('/', '.')}=1" for name in wrong)
        load = "modprobe br_netfilter; " if "missing" in wrong.values() else ""
        return failure(f"service addresses lead nowhere: {said}", f"{load}sysctl -w {sets}")
    return ok("the kernel forwards packets, and sees those between bridged instances")


async def mtu(instances: int) -> Finding:
    """`instances` is the largest packet of theirs, in bytes; WireGuard adds to it."""
    routes = json.loads(await run("ip", "-j", "route", "show", "default"))
    ways = {route["dev"]: await _mtu_of(route["dev"]) for route in routes}
    return judge_mtu(ways, instances + WIREGUARD)


async def _mtu_of(device: str) -> int:
    [link] = json.loads(await run("ip", "-j", "link", "show", "dev", device))
    return int(link["mtu"])


def judge_mtu(ways: Mapping[str, int], needed: int) -> Finding:
    """`ways` are the interfaces that lead out of the machine, with the largest packet that each takes."""
    if narrow := {device: size for device, size in ways.items() if size < needed}:
        said = ", ".join(f"{device} takes {size} bytes" for device, size in narrow.items())
        sets = "; ".join(f"ip link set {device} mtu {needed}" for device in narrow)
        return warning(f"packets between machines have up to {needed} bytes, and {said}", f"{sets}, if its network can")
    if not ways:
        return ok("nothing leaves this machine: it has no default route")
    return ok(f"{', '.join(ways)} takes the {needed} bytes that packets between machines have")


async def packets(others: Callable[[], Mapping[str, str]], whole: int) -> Finding:
    """`others` are the addresses of the other machines on the mesh, whose largest packet is `whole`, in bytes."""
    there = others()
    sizes = await asyncio.gather(*(largest(address, whole) for address in there.values()))
    return judge_packets(dict(zip(there, sizes, strict=True)), whole)


def judge_packets(passes: Mapping[str, int | None], whole: int) -> Finding:
    """`passes` has the largest packet that gets to each of the other machines and back."""
    if narrow := {name: size for name, size in passes.items() if size and size < whole}:
        said = ", ".join(f"{size} bytes to {name}" for name, size in narrow.items())
        why = f"packets of the mesh have up to {whole} bytes, and larger than {said} none arrives"
        ways = "fragments of UDP and ICMP's `fragmentation needed` (firewalls drop them)"
        hint = f"have the network between them carry {whole + WIREGUARD} bytes, or let pass {ways}"
        return failure(f"{why}: what is small works, and what is large hangs", hint)
    if silent := [name for name, size in passes.items() if not size]:
        hint = "ployzctl machine ls tells whether it is there; if it is, let its firewall answer ICMP's echoes"
        return warning(f"no echo comes back from {', '.join(silent)}", hint)
    if not passes:
        return ok("there is no other machine")
    return ok(f"packets of {whole} bytes get to {', '.join(passes)} and back")


async def door(asked: Door) -> Finding:
    pid = await asked.pid()
    return judge_door(asked, pid, sockets.at(asked.port), sockets.held_by(pid) if pid else set())


def judge_door(door: Door, pid: int | None, there: Collection[str], ours: Collection[str]) -> Finding:
    """`there` are the sockets that listen at the port, `ours` those that the process holds."""
    who = f"`ss -lnptu sport = :{door.port}` on the machine tells who listens"
    if pid is None:
        why = "somebody else listens there" if there else "nobody listens there"
        hint = f"the daemon starts it again by itself; if it does not come, look at {door.name}.log; {who}"
        return failure(f"{door.name} does not run, and {why} (port {door.port})", hint)
    if not set(there) & set(ours):
        return failure(f"{door.name} runs (pid {pid}), and does not listen at port {door.port}", f"{who}; end that one")
    return ok(f"{door.name} (pid {pid}) listens at port {door.port}")
