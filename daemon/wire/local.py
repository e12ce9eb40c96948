"""What can be asked of the clusters on one's own machine, and what is answered."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Percent = Annotated[int, Meta(ge=1, le=100)]


class DevUp(Struct, frozen=True, forbid_unknown_fields=True, tag="dev.up"):
    """Have a cluster of machines run on this host, each in namespaces of its own.

    Without a number it is as many as there are, and one where there are none.
    """

    name: str = "dev"
    machines: int | None = None
    driver: Literal["namespace", "docker"] = "namespace"


class DevDown(Struct, frozen=True, forbid_unknown_fields=True, tag="dev.down"):
    """Remove such a cluster and everything it holds."""

    name: str = "dev"


class DevLs(Struct, frozen=True, forbid_unknown_fields=True, tag="dev.ls"):
    """The clusters on this host."""


class DevKill(Struct, frozen=True, forbid_unknown_fields=True, tag="dev.kill"):
    """Pull the plug of a machine: all that runs in it ends at once, and only its disk is left."""

    machine: str
    name: str = "dev"


class DevPause(Struct, frozen=True, forbid_unknown_fields=True, tag="dev.pause"):
    """Hold everything in a machine still, with all that it has in memory and on the network."""

    machine: str
    name: str = "dev"


class DevResume(Struct, frozen=True, forbid_unknown_fields=True, tag="dev.resume"):
    """Let a paused machine go on."""

    machine: str
    name: str = "dev"


class DevPart(Struct, frozen=True, forbid_unknown_fields=True, tag="dev.part"):
    """Lose so many percent of what goes between these machines and all others; one way: only of what these send."""

    machines: Annotated[list[str], Meta(min_length=1)]
    loss: Percent = 100
    one_way: bool = False
    name: str = "dev"


class DevHeal(Struct, frozen=True, forbid_unknown_fields=True, tag="dev.heal"):
    """End all partings and pauses of a cluster."""

    name: str = "dev"


DevRequest = DevUp | DevDown | DevLs | DevKill | DevPause | DevResume | DevPart | DevHeal


DevState = Literal["up", "down", "paused", "off"]
"""`off`: it does not run; `down`: it does, and its daemon does not answer; `paused`: all in it is held still."""


class DevMachine(Struct, frozen=True):
    """One machine of a local cluster: its address among the others, where its daemon listens, and where its gateway
    answers on this host."""

    name: str
    address: str
    socket: str
    url: str
    state: DevState


class DevParting(Struct, frozen=True):
    """So many percent of what goes between these machines and all others are lost; one way: only of what these send."""

    machines: list[str]
    loss: int
    one_way: bool


class DevCluster(Struct, frozen=True):
    name: str
    driver: Literal["namespace", "docker"]
    machines: list[DevMachine]
    partings: list[DevParting] = []
