"""What a failure is called: the stable code and the sentence for each kind of it that reaches a person."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from daemon.bucket import STORE_DOWN
from daemon.journal import Unwritten
from daemon.node import CommitLost, ServingProblem
from daemon.primitive import NotSo
from daemon.tunnel import Unreached
from daemon.wire import Problem, Refused
from dataplane.dataset import NoRoom, NotOurs, PoolUnavailable, StreamProblem, ZfsProblem
from dataplane.entry import Moved, StoreDown
from dataplane.firewall import FirewallProblem
from dataplane.gateway import GatewayProblem
from dataplane.names import NamesProblem
from dataplane.peers import WireguardProblem
from dataplane.vault import VaultProblem
from runtime.command import CommandError
from runtime.instance import (
    AddressTaken,
    EngineProblem,
    EngineUnavailable,
    ImageBroken,
    ImageMissing,
    NameTaken,
    NotReady,
    RegistryRefused,
    SettingIgnored,
)

CODES: tuple[tuple[type[BaseException], str], ...] = (
    (CommitLost, "commit.lost"),
    (StoreDown, "store.down"),
    (Moved, "record.moved"),
    (NotSo, "verify.differs"),
    (Unwritten, "journal.unwritable"),
    (ServingProblem, "serving.failed"),
    (FirewallProblem, "serving.failed"),
    (NamesProblem, "serving.failed"),
    (GatewayProblem, "serving.failed"),
    (StreamProblem, "stream.broken"),
    (NoRoom, "pool.full"),
    (NotOurs, "volume.foreign"),
    (PoolUnavailable, "pool.down"),
    (ZfsProblem, "zfs.failed"),
    (VaultProblem, "secret.failed"),
    (EngineUnavailable, "engine.down"),
    (ImageMissing, "image.missing"),
    (ImageBroken, "image.broken"),
    (RegistryRefused, "registry.refused"),
    (NameTaken, "instance.foreign"),
    (AddressTaken, "address.taken"),
    (NotReady, "instance.not_ready"),
    (SettingIgnored, "instance.setting"),
    (EngineProblem, "engine.failed"),
    (Unreached, "join.unreachable"),
    (WireguardProblem, "mesh.failed"),
    (CommandError, "command.failed"),
    (asyncio.CancelledError, "operation.aborted"),
)
"""The first that fits counts: kinds before what they are kinds of."""

TRY = {
    "store.down": STORE_DOWN,
    "address.taken": "the same again: another address is chosen; `docker network inspect ploy` tells who has it",
    "engine.down": "start the engine (or ployzd, which starts it), then try again",
    "pool.down": "zpool status on the machine",
    "pool.full": "ployzctl namespace ls shows what holds space, ployzctl volume ls --kept what could be purged",
    "instance.setting": "leave the setting out, or have the machine's kernel and engine support it (docker info)",
    "journal.unwritable": "free space where the journals are",
    "secret.failed": "ployzctl doctor on that machine; ployzctl secret rotate, for what was sealed without it",
    "join.unreachable": "the endpoint from here, and whether its UDP port is let through; or another token",
    "mesh.failed": "ployzctl doctor, and mesh/wireguard-go.log in the machine's data directory",
    "registry.refused": "the name, and whether this machine reaches it; user and password as the registry knows them",
    "image.broken": "the same again: what did not come whole is gone, and layers that are here do not travel twice",
    "image.missing": "check the name, load the image into the machine's engine, or ployzctl registry login HOST",
}


def code(failure: BaseException | None) -> str:
    """The stable code of a failure; `operation.cut` where there is none, because it was a crash."""
    if isinstance(failure, Problem):
        return failure.code
    return next((code for kind, code in CODES if isinstance(failure, kind)), "bug" if failure else "operation.cut")


VERBS = {
    "forgo": "go on without what is lost of",
    "image.distribute": "distribute images in",
    "machine.admit": "let a machine into",
    "machine.invite": "invite a machine into",
    "machine.lost": "give up",
    "machine.revoke": "revoke an invitation of",
    "machine.rm": "remove",
    "mesh.destroy": "destroy the mesh of",
    "mesh.init": "make a mesh for",
    "namespace.rm": "remove",
    "registry.login": "log in to a registry",
    "registry.logout": "log out of a registry",
    "run": "run a command as",
    "secret.rm": "remove a secret of",
    "secret.rotate": "seal anew the secrets of",
    "secret.set": "set a secret of",
    "store.move": "move the records of",
    **{f"machine.{verb}": verb for verb in ("drain", "label", "undrain")},
    **{
        f"volume.{verb}": verb
        for verb in ("export", "fork", "import", "purge", "resize", "restore", "send", "snapshot")
    },
}
"""What is done, where the request's own name is no word for it."""


def cannot(primitive: str, names: Iterable[str] = ()) -> str:
    """What could not be done, to which namespaces, volume or service: `cannot import shop/data`."""
    return f"cannot {VERBS.get(primitive, primitive.replace('.', ' '))} {', '.join(names)}".rstrip()


def names(request: Mapping[str, Any], namespaces: Iterable[str]) -> list[str]:
    """What a request is about: its volume or service, its machine, or what it claims."""
    whole = ["/".join((request["namespace"], request[one])) for one in ("volume", "service") if request.get(one)]
    machine = [request["machine"]] if "machine" in request and "namespace" not in request else []
    return whole or machine or list(namespaces)


def reason(failure: BaseException) -> str:
    """The failure as a sentence."""
    if isinstance(failure, asyncio.CancelledError):
        return "it was aborted"
    if isinstance(failure, Problem):
        return f"{failure.what}: {failure.why}" if failure.why else failure.what
    if isinstance(failure, CommitLost | Moved):
        return f"somebody else has changed {failure} meanwhile"
    return str(failure) or type(failure).__name__


def known(failure: BaseException) -> bool:
    """Whether it is a failure of the world; anything else is a bug of ours."""
    return isinstance(failure, Problem) or any(isinstance(failure, kind) for kind, _ in CODES)


def refused(failure: BaseException, what: str) -> Refused:
    """A failure of the world before anything was changed."""
    if isinstance(failure, Refused):
        return failure
    return Refused(code(failure), what, reason(failure), TRY.get(code(failure), ""))
