"""What this host's own network is like, apart from the cluster's part of it: routes, addresses, ports."""

import json
import logging
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from dataplane import sockets
from runtime.command import CommandError, run

RESERVED = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")

log = logging.getLogger("ployzd")


async def networks(own: Collection[str]) -> dict[str, str]:
    """The networks (CIDR) that it has routes to, with their interfaces; those of its `own` interfaces excluded."""
    routes: list[dict[str, Any]] = json.loads(await run("ip", "-j", "-4", "route", "show"))
    found = {str(route["dst"]): str(route["dev"]) for route in routes if route.get("dev") not in own}
    return {_network(dst): device for dst, device in found.items() if dst != "default" and device != "None"}


def _network(destination: str) -> str:
    return destination if "/" in destination else f"{destination}/32"


async def address(towards: str | None, own: Collection[str]) -> str | None:
    """The address from which it would speak to `towards` (an address), or to anybody; None if it cannot say."""
    if towards:
        try:
            [route] = json.loads(await run("ip", "-j", "-4", "route", "get", towards))
        except CommandError:
            return None
        return str(route["prefsrc"]) if route.get("dev") not in own else None
    defaults: list[dict[str, Any]] = json.loads(await run("ip", "-j", "-4", "route", "show", "default"))
    links: list[dict[str, Any]] = json.loads(await run("ip", "-j", "-4", "address", "show", "scope", "global"))
    first = [route["dev"] for route in defaults]
    ordered = sorted(links, key=lambda link: (link.get("ifname") not in first, link.get("ifindex", 0)))
    return next(
        (a["local"] for link in ordered if link.get("ifname") not in own for a in link.get("addr_info", ())), None
    )


def holders(ports: Iterable[int], own: Iterable[int]) -> dict[int, str]:
    """Those of the ports that somebody has who is none of our `own` processes (pids), and who that is."""
    ours = set[str]().union(*map(sockets.held_by, own))
    return {port: _who(inodes) for port in ports if (inodes := sockets.at(port) - ours)}


def reserve(ports: Collection[int], setting: Path = RESERVED) -> None:
    """Have the kernel give none of these ports to whoever only asks for any (ip-sysctl), beside those that are reserved
    already. A daemon that starts anew would find it taken: by a connection, and for a minute after its end."""
    try:
        before = setting.read_text().strip()
        if not {*ports} <= _listed(before):
            setting.write_text(",".join([*([before] if before else []), *map(str, ports)]))
    except OSError as failure:
        log.warning("cannot reserve the ports of ployz in %s: %s; one may be taken when it starts", setting, failure)


def _listed(ranges: str) -> set[int]:
    """The ports of `1-3,7`."""
    ends = [part.partition("-") for part in ranges.split(",") if part]
    return {port for first, _, last in ends for port in range(int(first), int(last or first) + 1)}


def _who(inodes: set[str]) -> str:
    """The process that has one of these sockets; those of the kernel itself are nobody's."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and sockets.held_by(int(folder.name)) & inodes:
            try:
                return f"{(folder / 'comm').read_text().strip()} (pid {folder.name})"
            except OSError:
                continue
    return "the kernel" if os.geteuid() == 0 else "somebody"
