"""The manifest: what a namespace is to be. TOML, or JSON of the same shape; unknown keys are errors."""

from typing import Literal

from msgspec import Struct

LARGEST = 256 * 1024
"""Bytes. A record that holds a manifest has to fit into one message of the store."""


class Ready(Struct, frozen=True, forbid_unknown_fields=True):
    """How to tell that an instance is ready; `tcp` and `port` are names of ports. Seconds."""

    exec: tuple[str, ...] | None = None
    tcp: str | None = None
    http: str | None = None
    port: str | None = None
    every: float = 1.0
    timeout: float = 30.0


class Hooks(Struct, frozen=True, forbid_unknown_fields=True):
    """`before` is a command that runs before the commit; `changes` names services whose data it changes."""

    before: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


class Service(Struct, frozen=True, forbid_unknown_fields=True):
    """One service as its manifest specifies it. Durations in seconds, sizes in bytes."""

    image: str
    pull: Literal["missing", "always", "never"] = "missing"
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    env: dict[str, str] = {}
    user: str | None = None
    workdir: str | None = None
    volumes: dict[str, str] = {}
    ports: dict[str, int] = {}
    ready: Ready | None = None
    stop_grace: float = 10.0
    shm: int | None = None
    replicas: int = 1
    after: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    update: Literal["blue_green", "recreate"] = "blue_green"
    restart: Literal["on-failure", "no"] = "on-failure"
    hooks: Hooks = Hooks()


class Volume(Struct, frozen=True, forbid_unknown_fields=True):
    """One volume: its quota in bytes, who owns its root (`uid:gid`), and that directory's mode (octal)."""

    quota: int | None = None
    owner: str | None = None
    mode: str | None = None


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """A namespace, parsed and checked: every name in it leads somewhere, every value is in its unit.

    `update` is always `recreate` for a service with volumes; `routes` have their `{namespace}` filled in.
    """

    namespace: str
    services: dict[str, Service] = {}
    volumes: dict[str, Volume] = {}
    keep: int = 10
