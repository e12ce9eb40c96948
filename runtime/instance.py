"""What an engine runs, as the house sees it: specifications of instances and their states."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Runtime = Literal["docker", "host"]
"""What an instance is: a container, or a process of the machine."""


@dataclass(frozen=True)
class Mount:
    """A directory or file of the host, seen inside an instance."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Bounds:
    """What an instance may do besides what its image needs, and the most that it may use.

    `ulimits` are soft and hard by their names, -1 is unlimited; `devices` paths of the host; `cap_add` without
    `CAP_`; `read_only` is about its root; `log` and `memory` are bytes.
    """

    ulimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    read_only: bool = False
    log: int = 100 * 2**20
    cpus: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Specification:
    """An instance to be made: everything chosen beforehand, nothing left to the engine.

    `id` is its name with the engine, unguessable because Docker resolves container names across namespaces.
    Of an `attached` one the input is open until who talks to it ends it, with `tty` at a terminal.
    `files` are what it finds, read-only, at these paths; they are made, and removed, together with it.
    `image` is a digest or an image id. `labels` and the operation that makes it are its marks. `stop_grace` is
    seconds. `survives` says whether the engine restarts it when it fails (never at boot). With `runtime` "host" the
    image and the entry point mean nothing.
    """

    id: str
    image: str
    ip: str | None
    labels: Mapping[str, str]
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    workdir: str | None = None
    mounts: tuple[Mount, ...] = ()
    search: tuple[str, ...] = ()
    shm: int | None = None
    stop_grace: float = 10.0
    survives: bool = True
    files: Mapping[str, bytes] = field(default_factory=dict)
    bounds: Bounds = Bounds()
    runtime: Runtime = "docker"
    attached: bool = False
    tty: bool = False


Status = Literal["created", "running", "restarting", "stopped"]


@dataclass(frozen=True)
class Image:
    """An image that an engine has. `digest` is what instances are made from: `<repository>@sha256:…` where a registry
    knows it, else the `id`. `name` is empty where it has none; `bytes` counts layers that others share too.
    """

    name: str
    digest: str
    id: str
    bytes: int


@dataclass(frozen=True)
class Offer:
    """Where the image of that id can be had, once and soon, by whoever shows the `token`.

    `current` says that the name by which it was asked for means this very image there.
    """

    host: str
    port: int
    token: str
    current: bool
    id: str


@dataclass(frozen=True)
class Credentials:
    """Who one is at a registry of images. The password never prints itself."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Condition:
    """An instance as the engine tells it. `image` is what it was made from, `digest` that image's id.

    `since` is RFC 3339 UTC; `last_exit` is None while it has never ended, and `out_of_memory` says that it ended
    because it used more memory than it may.
    """

    id: str
    status: Status
    labels: Mapping[str, str]
    ip: str | None
    image: str
    digest: str
    since: str | None = None
    restarts: int = 0
    last_exit: int | None = None
    out_of_memory: bool = False
    pid: int | None = None


@dataclass(frozen=True)
class Ended:
    """How a command in an instance ended, with what it wrote (both streams, in order)."""

    code: int
    output: str


@dataclass(frozen=True)
class Check:
    """How to tell that an instance is ready: exactly one of `exec`, `tcp` (a port) and `http` (path, with `port`).

    With none of them it is ready when it still runs a second after its start. Seconds.
    """

    exec: tuple[str, ...] | None = None
    tcp: int | None = None
    http: str | None = None
    port: int | None = None
    every: float = 1.0
    timeout: float = 30.0


class EngineProblem(Exception):
    """The engine did not do what it was asked for, or what it says cannot be relied upon."""


class EngineUnavailable(EngineProblem):
    """The engine cannot be reached, or did not answer in time."""


class ImageMissing(EngineProblem):
    """There is no such image, here or at its registry."""


class ImageBroken(EngineProblem):
    """An image did not come from another machine as it is there: cut off, or not the one that was promised."""


class RegistryRefused(EngineProblem):
    """A registry does not take the credentials, or cannot be asked."""


class NameTaken(EngineProblem):
    """An instance of this name was made by somebody else; it was not touched."""


class AddressTaken(EngineProblem):
    """A container of somebody else runs at the address that the instance is to have."""


class SettingIgnored(EngineProblem):
    """The engine made the instance, but not as it was asked to."""


class NotReady(EngineProblem):
    """The instance ended, or was not ready in time; `said` is the end of its log."""

    def __init__(self, why: str, said: str = "") -> None:
        super().__init__(why, said)
        self.why, self.said = why, said

    def __str__(self) -> str:
        return self.why + (f"; the end of its log:\n{self.said}" if self.said else "")
