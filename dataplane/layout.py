"""Who belongs to the bus, and which machines hold the store: what every machine's server is configured by."""

import re
from enum import Enum
from ipaddress import ip_address
from pathlib import Path

import msgspec
from msgspec import Struct

from dataplane.secret_file import write_secret

HOLDERS = (1, 3)
"""How many machines can hold a store. Two could not go on without either of them, and one alone is not fewer."""


class Ports(Struct, frozen=True):
    """Where a server listens: to its own machine's clients on loopback, to leaves and other holders on the mesh."""

    clients: int
    leaves: int
    routes: int


NAME = re.compile(r"[A-Za-z0-9-]+")
KEY = re.compile(r"U[A-Z2-7]{55}")

PORTS = (Ports(4222, 7422, 6222), Ports(4223, 7423, 6223))
"""Two sets: while the store moves, the old servers and the new ones run beside each other."""


class Member(Struct, frozen=True):
    """A machine on the bus: its user's public key, and its address on the mesh, if there is a mesh yet.

    Raises ValueError for what could be read as something else in a configuration.
    """

    machine: str
    key: str
    address: str | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.machine):
            raise ValueError(f"{self.machine!r} is no machine's name")
        if not KEY.fullmatch(self.key):
            raise ValueError(f"{self.key!r} is not the public key of a user")
        if self.address:
            ip_address(self.address)


class Role(Enum):
    """What a machine's server is to the store."""

    ALONE = "alone"
    ONE_OF_THREE = "one of three"
    LEAF = "leaf"


class Layout(Struct, frozen=True):
    """One store, the machines that hold it, and all machines that may use it. `store` is a name never given twice."""

    store: str
    holders: tuple[str, ...]
    members: tuple[Member, ...]
    ports: Ports = PORTS[0]

    def __post_init__(self) -> None:
        strangers = set(self.holders) - {member.machine for member in self.members}
        if not NAME.fullmatch(self.store):
            raise ValueError(f"{self.store!r} is no name for a store")
        if len(self.holders) not in HOLDERS or len(set(self.holders)) != len(self.holders) or strangers:
            raise ValueError(f"a store is held by one or three of its members, not by {', '.join(self.holders)}")

    def member(self, machine: str) -> Member:
        """Raises KeyError if it is none."""
        return {member.machine: member for member in self.members}[machine]

    def role(self, machine: str) -> Role:
        """Raises KeyError if it is no member."""
        if self.member(machine).machine not in self.holders:
            return Role.LEAF
        return Role.ALONE if len(self.holders) == 1 else Role.ONE_OF_THREE

    def addresses(self, machines: tuple[str, ...]) -> list[str]:
        """Where they are on the mesh. Raises ValueError if one of them is on none."""
        found = [self.member(machine).address for machine in machines]
        if None in found:
            raise ValueError(f"not all of {', '.join(machines)} have an address on the mesh")
        return [address for address in found if address]

    @property
    def other_ports(self) -> Ports:
        """Those of the store that comes after this one."""
        return PORTS[self.ports == PORTS[0]]


def founding(machine: str, key: str) -> Layout:
    """The first store of a cluster, on its first machine."""
    return Layout("first", (machine,), (Member(machine, key),))


def pointed_at(folder: Path) -> Layout | None:
    """The layout that this machine goes by, before it can ask anybody; None before the first."""
    try:
        return msgspec.json.decode((folder / "layout.json").read_bytes(), type=Layout)
    except FileNotFoundError:
        return None


def point_at(folder: Path, layout: Layout) -> None:
    """Have this machine go by `layout` from its next start on."""
    write_secret(folder / "layout.json", msgspec.json.encode(layout))
