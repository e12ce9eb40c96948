"""The machine's network: what the kernel forwards, and who listens where the data plane does."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from daemon.doctor.assumption import Finding, failure, ok
from dataplane import sockets

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
