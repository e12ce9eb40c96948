"""Which ports of this host its own processes listen on, as the kernel lists them (proc(5), net/tcp)."""

from collections.abc import Iterator
from pathlib import Path

OPEN = {"tcp": "0A", "udp": "07"}
"""The states of a socket that anybody may send to."""
NOBODY = frozenset("0:")


def listening(folder: Path = Path("/proc/self/net")) -> set[int]:
    """The ports, of TCP and UDP, at which a process can be reached from elsewhere: not by loopback only."""
    return {
        port for table, state in OPEN.items() for six in ("", "6") for port in _ports(folder / f"{table}{six}", state)
    }


def _ports(table: Path, state: str) -> Iterator[int]:
    try:
        rows = table.read_text().splitlines()[1:]
    except FileNotFoundError:
        return  # a kernel without this family
    for row in rows:
        _, local, remote, found, *_ = row.split()
        address, _, port = local.partition(":")
        if found == state and set(remote) <= NOBODY and not _is_loopback(address):
            yield int(port, 16)


def _is_loopback(address: str) -> bool:
    """Addresses are written as 32-bit words of this host's byte order, which is little-endian on all that we run on."""
    four = address[-8:]
    mapped = address[:-8] in ("", "0000000000000000FFFF0000")
    return (mapped and four.endswith("7F")) or address == "00000000000000000000000001000000"
