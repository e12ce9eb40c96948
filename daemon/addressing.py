"""The addresses of a mesh, all in its one network: pure functions of that network.

It is cut into /24s. From the bottom, without the first, each is a machine's: its first address is the machine's own,
the others are its instances'. The top eighth is for services' virtual addresses, and the /24 below it for guests, who
are machines that were invited and have not joined yet.
"""

from collections.abc import Collection, Mapping
from functools import cache
from ipaddress import IPv4Network

LARGEST, SMALLEST = 12, 20
"""Bits of a network's prefix: room for at least a dozen machines, and for the most that are wanted."""
MOST = 222
"""Machines, at most: as many as guests have addresses."""
DEFAULT = "10.210.0.0/16"


def is_usable(cidr: str) -> bool:
    """Whether a mesh can live in this network: private, of a size that works, and without bits beside the prefix."""
    try:
        network = IPv4Network(cidr)
    except ValueError:
        return False
    return network.is_private and LARGEST <= network.prefixlen <= SMALLEST


@cache
def subnets(cidr: str) -> tuple[str, ...]:
    """The networks of machines, in the order in which they are given away."""
    all_of_them = tuple(str(each) for each in IPv4Network(cidr).subnets(new_prefix=24))
    return all_of_them[1 : len(all_of_them) * 7 // 8 - 1][:MOST]


def services(cidr: str) -> str:
    """The network of virtual addresses."""
    return str(list(IPv4Network(cidr).subnets(prefixlen_diff=3))[-1])


def guests(cidr: str) -> str:
    """The network of guests."""
    all_of_them = list(IPv4Network(cidr).subnets(new_prefix=24))
    return str(all_of_them[len(all_of_them) * 7 // 8 - 1])


def address(subnet: str) -> str:
    """A machine's own address."""
    return str(IPv4Network(subnet)[1])


def guest(cidr: str, taken: Collection[str], given: Mapping[str, str]) -> str:
    """An address for a guest to knock at: none of those `taken`, and one that nobody had, or else the one that was
    `given` away longest ago (a moment each). So who had one before is heard for as long as can be, to be told why not.
    """
    network = IPv4Network(guests(cidr))
    free = [each for number in range(1, MOST + 1) if (each := str(network[number])) not in taken]
    return min(free, key=lambda each: given.get(each, ""))


def door(cidr: str) -> str:
    """The address at which each machine hears its own guests, beside its own: that is one which a guest may have too,
    for it is the first machine of another mesh."""
    return str(IPv4Network(guests(cidr))[-2])


def free(cidr: str, taken: Collection[str]) -> str | None:
    """The first subnet that nobody has; None where all are taken."""
    return next((subnet for subnet in subnets(cidr) if subnet not in taken), None)


def overlapping(cidr: str, others: Collection[str]) -> list[str]:
    """Those of the other networks that have an address in common with this one. A default route overlaps nothing."""
    network = IPv4Network(cidr)
    return [each for each in others if (other := IPv4Network(each)).prefixlen and other.overlaps(network)]
