"""What can be asked of the clusters on one's own machine."""

from typing import Literal

from msgspec import Struct


class DevUp(Struct, frozen=True, forbid_unknown_fields=True, tag="dev.up"):
    """Make a cluster of machines on this host, each in namespaces of its own."""

    name: str = "dev"
    machines: int = 1
    driver: Literal["namespace", "docker"] = "namespace"


class DevDown(Struct, frozen=True, forbid_unknown_fields=True, tag="dev.down"):
    """Remove such a cluster and everything it holds."""

    name: str = "dev"


class DevLs(Struct, frozen=True, forbid_unknown_fields=True, tag="dev.ls"):
    """The clusters on this host."""


DevRequest = DevUp | DevDown | DevLs
