"""What a machine is, and what it was told at its start."""

from dataclasses import dataclass
from pathlib import Path

from daemon import addressing
from daemon.membership import Membership
from daemon.meshing import MTU
from dataplane.pool import PoolWish
from runtime.network import Bridge


@dataclass(frozen=True)
class Settings:
    """What a machine is, and is told at its start. `engine` is the socket of an engine, or None: one of our own is
    started."""

    membership: Membership
    folder: Path
    engine: Path | None
    gateway_listen: str
    pool: PoolWish
    default_bridge: str = "10.209.1.1/24"

    @property
    def machine(self) -> str:
        return self.membership.name

    @property
    def subnet(self) -> str:
        return self.membership.here.subnet

    @property
    def address(self) -> str:
        return self.membership.here.overlay_ip

    @property
    def services(self) -> str:
        return addressing.services(self.membership.cluster.cidr)

    @property
    def bridge(self) -> Bridge:
        """The network that instances join."""
        return Bridge(self.subnet, self.address, MTU)
