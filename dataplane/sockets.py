"""Which ports of this host its own processes listen on, as the kernel lists them (proc(5), net/tcp)."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

OPEN = {"tcp": "0A", "udp": "07"}
"""The states of a socket that anybody may send to."""
NOBODY = frozenset("0:")


def listening(folder: Path = Path("/proc/self/net")) -> set[int]:
    """The ports, of TCP and UDP, at which a process can be reached from elsewhere: not by loopback only."""
    return {port for port, _, loopback in _open(folder) if not loopback}


def at(port: int, folder: Path = Path("/proc/self/net")) -> set[str]:
    """The inodes of the sockets that listen at the port, whoever has them, and at whatever address."""
    return {inode for found, inode, _ in _open(folder) if found == port}


def held_by(pid: int) -> set[str]:
    """The inodes of the sockets that a process has; none if it is gone."""
    links = set[str]()
    with suppress(OSError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                links.add(os.readlink(handle))
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def _open(folder: Path) -> Iterator[tuple[int, str, bool]]:
    for table, state in OPEN.items():
        for six in ("", "6"):
            yield from _rows(folder / f"{table}{six}", state)


def _rows(table: Path, state: str) -> Iterator[tuple[int, str, bool]]:
    """Port, inode, and whether it is loopback's only, of each socket in that state."""
    try:
        rows = table.read_text().splitlines()[1:]
    except FileNotFoundError:
        return  # a kernel without this family
    for row in rows:
        _, local, remote, found, _, _, _, _, _, inode, *_ = row.split()
        address, _, port = local.partition(":")
        if found == state and set(remote) <= NOBODY:
            yield int(port, 16), inode, _is_loopback(address)


def _is_loopback(address: str) -> bool:
    """Addresses are written as 32-bit words of this host's byte order, which is little-endian on all that we run on."""
    four = address[-8:]
    mapped = address[:-8] in ("", "0000000000000000FFFF0000")
    return (mapped and four.endswith("7F")) or address == "00000000000000000000000001000000"
