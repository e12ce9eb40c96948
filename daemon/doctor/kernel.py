"""What the kernel has to be able to do, tried for real in namespaces that vanish with the try."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daemon.doctor.assumption import Assumption, Finding, failure, ok, warning
from runtime.command import CommandError, run

NETWORK = ("unshare", "--net", "--")
NAT = """table ip probe {
  chain there {
    type nat hook prerouting priority -100
    ip daddr 10.0.0.1 dnat to 10.0.0.2
  }
}
"""


@dataclass(frozen=True)
class Try:
    """A command that only a kernel with the feature lets succeed, `input` to its stdin."""

    argv: Sequence[str]
    able: str
    hint: str
    input: str = ""


NAMESPACES = Try(
    ("unshare", "--net", "--mount", "--pid", "--cgroup", "--fork", "--", "true"),
    "it makes namespaces for networks, mounts, processes and control groups",
    "run it on a host, or in a container with the right to make namespaces (CAP_SYS_ADMIN)",
)
BRIDGE = Try(
    (*NETWORK, "ip", "link", "add", "probe", "type", "bridge"), "it makes bridges", "modprobe bridge, for good"
)
VETH = Try((*NETWORK, "ip", "link", "add", "probe", "type", "veth"), "it makes pairs of interfaces", "modprobe veth")
NFTABLES = Try(
    (*NETWORK, "nft", "-f", "-"), "it leads connections elsewhere by nftables", "modprobe nf_tables nft_nat", NAT
)
OVERLAY = Try(
    ("unshare", "--mount", "--", "mount", "-t", "overlay", "probe", "-o", "lowerdir=/etc:/usr", "/tmp"),
    "it lays filesystems over each other, as images need",
    "modprobe overlay",
)
WIREGUARD = Try((*NETWORK, "ip", "link", "add", "probe", "type", "wireguard"), "the kernel has it", "")


async def tried(asked: Try) -> Finding:
    try:
        await run(*asked.argv, input=asked.input, within=10.0)
    except CommandError as said:
        return failure(f"the kernel does not: {said}", asked.hint)
    return ok(asked.able)


async def zfs() -> Finding:
    return judge_zfs(in_kernel=Path("/dev/zfs").exists(), fuse=await _opens("/dev/fuse"))


def judge_zfs(*, in_kernel: bool, fuse: str) -> Finding:
    """`fuse` is why its device cannot be opened; empty if it can."""
    if in_kernel:
        return ok("the kernel has it")
    if fuse:
        return failure(f"the kernel has none, and zfs-fuse cannot run: {fuse}", "modprobe fuse, or install OpenZFS")
    return ok("by zfs-fuse, which needs no module: /dev/fuse can be opened")


async def wireguard() -> Finding:
    return judge_wireguard(in_kernel=(await tried(WIREGUARD)).state == "ok", tun=await _opens("/dev/net/tun"))


def judge_wireguard(*, in_kernel: bool, tun: str) -> Finding:
    """`tun` is why its device cannot be opened; empty if it can."""
    if in_kernel:
        return ok("the kernel has it")
    if tun:
        hint = "modprobe wireguard, or modprobe tun, before more machines join"
        return warning(f"one machine needs none, but several do, and there is neither it nor {tun}", hint)
    return ok("the kernel has none, but /dev/net/tun can be opened, which wireguard-go needs")


async def _opens(device: str) -> str:
    try:
        os.close(os.open(device, os.O_RDWR))
    except OSError as error:
        return f"{device}: {error.strerror}"
    return ""


KERNEL = (
    *(
        Assumption(name, partial(tried, asked), asked.hint)
        for name, asked in (
            ("namespaces", NAMESPACES),
            ("bridge", BRIDGE),
            ("veth", VETH),
            ("nftables", NFTABLES),
            ("overlay", OVERLAY),
        )
    ),
    Assumption("zfs", zfs, "modprobe fuse, or install OpenZFS"),
    Assumption("wireguard", wireguard, "modprobe wireguard"),
)
