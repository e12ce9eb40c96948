"""The manifest: what a namespace is to be. TOML, or JSON of the same shape; unknown keys are errors."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import msgspec
from msgspec import Struct, inspect

from daemon import manifest_rules, toml_text
from daemon.manifest_fields import (
    GLOBAL,
    Capability,
    Content,
    Cpus,
    Data,
    Device,
    Duration,
    Flag,
    Image,
    Interval,
    Keep,
    Label,
    LogSize,
    Memory,
    Mode,
    Name,
    Owner,
    Port,
    Published,
    Replicas,
    SecretName,
    Size,
    Source,
    Ulimit,
    UlimitName,
    User,
    Variable,
    VolumeName,
)
from daemon.manifest_fields import LABEL as LABEL
from daemon.manifest_fields import is_label as is_label
from daemon.manifest_text import LARGEST, WHAT, joined, read
from daemon.shape import Asides, Fault, Fitting, Unfit
from daemon.wire import Refused

# fmt: off
__all__ = [
    "GLOBAL", "LARGEST", "NAMESPACE", "Hooks", "Log", "Manifest", "Place", "Ready", "Resources", "Service", "Volume",
    "joined", "parse", "parse_for", "show", "with_replicas",
]
# fmt: on

NAMESPACE = "{namespace}"
"""In a route it stands for the namespace, so that a branch gets a route of its own."""


class Ready(Struct, frozen=True, forbid_unknown_fields=True):
    """How to tell that an instance is ready; `tcp` and `port` are names of ports. Seconds."""

    exec: tuple[str, ...] | None = None
    tcp: str | None = None
    http: str | None = None
    port: str | None = None
    every: Interval = 1.0
    timeout: Interval = 30.0


class Hooks(Struct, frozen=True, forbid_unknown_fields=True):
    """`before` is a command that runs before the commit; `changes` names services whose data it changes.

    `on_branch` runs on a branch's copy of the data, before anybody reaches the branch.
    """

    before: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    on_branch: tuple[str, ...] = ()


class Place(Struct, frozen=True, forbid_unknown_fields=True):
    """Where its instances run: on the machine of that name, on machines that have all these labels."""

    machine: Name | None = None
    labels: dict[Label, Label] = {}


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """How much of what an instance writes is kept: the newest `max` bytes, or up to half of that less."""

    max: LogSize = 100 * 2**20


class Resources(Struct, frozen=True, forbid_unknown_fields=True):
    """The most that each instance may use: processors, and bytes of memory."""

    cpus: Cpus | None = None
    memory: Memory | None = None


class Service(Struct, frozen=True, forbid_unknown_fields=True):
    """One service as its manifest specifies it. Durations in seconds, sizes in bytes.

    On the host it has no image: its command is a program of the machine. `branch_secrets` are those of its `secrets`
    that a branch gets too.
    """

    image: Image = ""
    runtime: Literal["docker", "host"] = "docker"
    pull: Literal["missing", "always", "never"] = "missing"
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    env: dict[Variable, str] = {}
    secrets: tuple[SecretName, ...] = ()
    branch_secrets: tuple[SecretName, ...] = ()
    user: User | None = None
    workdir: str | None = None
    volumes: dict[VolumeName, str] = {}
    ports: dict[Name, Port] = {}
    ready: Ready | None = None
    stop_grace: Duration = 10.0
    shm: Size | None = None
    replicas: Replicas = 1
    after: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    update: Literal["blue_green", "recreate"] = "blue_green"
    restart: Literal["on-failure", "no"] = "on-failure"
    hooks: Hooks = Hooks()
    files: dict[str, Source] = {}
    ulimits: dict[UlimitName, Ulimit] = {}
    devices: tuple[Device, ...] = ()
    cap_add: tuple[Capability, ...] = ()
    read_only: Flag = False
    log: Log = Log()
    resources: Resources = Resources()
    publish: dict[Published, str] = {}
    place: Place | None = None


class Volume(Struct, frozen=True, forbid_unknown_fields=True):
    """One volume: its quota in bytes, who owns its root (`uid:gid`), and that directory's mode (octal)."""

    quota: Size | None = None
    owner: Owner | None = None
    mode: Mode | None = None


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """A namespace, parsed and checked: every name in it leads somewhere, every value is in its unit.

    `update` is always `recreate` for a service with volumes; `data` is
    the number of the deploy point whose data it is to have; what is committed never has it. `files` holds what the
    services' files contain, by the path under which they name it.
    """

    namespace: Name
    services: dict[Name, Service] = {}
    volumes: dict[VolumeName, Volume] = {}
    keep: Keep = 10
    files: dict[Source, Content] = {}
    data: Data | None = None

    def routes(self, service: str) -> tuple[str, ...]:
        """A service's routes, with their `{namespace}` filled in."""
        return tuple(route.replace(NAMESPACE, self.namespace) for route in self.services[service].routes)

    @property
    def hooks(self) -> dict[str, tuple[str, ...]]:
        """The commands that run before a service is deployed, by service."""
        return {name: service.hooks.before for name, service in self.services.items() if service.hooks.before}

    @property
    def order(self) -> dict[str, set[str]]:
        return order(self.services)


def order(services: Mapping[str, Service]) -> dict[str, set[str]]:
    """For each service those that are ready before it starts: its `after`, and what its hooks change."""
    return {
        name: {*service.after, *(changed for changed in service.hooks.changes if changed != name)}
        for name, service in services.items()
    }


_NO_MOUNTS = Unfit(
    "unknown_key",
    "is unknown here: directories of the host cannot be mounted, because they neither branch nor move",
    "name a volume, and declare it under [volumes]",
)
_ASIDES: Asides = {
    Service: dict.fromkeys(("mounts", "binds"), _NO_MOUNTS),
}
_MOST_FAULTS = 20
_SHAPE = inspect.type_info(Manifest)


@lru_cache(maxsize=8)
def parse(text: str) -> Manifest:
    """The manifest that a text says. Raises Refused `manifest.*`: the code is that of the first fault, `why` has all.

    Whoever deploys asks several times what the same text says; reading one with 50 services takes longer than the rest.

    Codes: syntax, too_large, unknown_key, missing, type, value, name, cycle, reference, volume, later.
    """
    fitting = Fitting(_ASIDES)
    tree = fitting.fit(read(text), _SHAPE)
    _refuse(fitting.faults)
    manifest: Manifest = msgspec.convert(_complete(tree), Manifest)
    _refuse(list(manifest_rules.faults(manifest)))
    return manifest


def parse_for(cannot: str, text: str) -> Manifest:
    """Likewise, of a text that nobody wrote as it is: a failure says what could not be done."""
    try:
        return parse(text)
    except Refused as wrong:
        raise Refused(wrong.code, cannot, wrong.why, wrong.hint) from None


def _refuse(faults: Sequence[Fault]) -> None:
    if faults:
        lines = [str(fault) for fault in faults[:_MOST_FAULTS]]
        more = [f"and {len(faults) - _MOST_FAULTS} more"] if len(faults) > _MOST_FAULTS else []
        raise Refused(f"manifest.{faults[0].code}", WHAT, "\n".join(lines + more), faults[0].hint)


def _complete(tree: dict[str, Any]) -> dict[str, Any]:
    """With what depends on other fields, and with one way to write a route."""
    for service in tree.get("services", {}).values():
        service.setdefault("update", _default_update(service.get("volumes")))
        service["routes"] = tuple(route.rstrip("/") for route in service.get("routes", ()))
    return tree


def _default_update(volumes: object) -> str:
    return "recreate" if volumes else "blue_green"


def show(manifest: Manifest) -> str:
    """The manifest as TOML, without what is the default: `parse` reads exactly it again."""
    return toml_text.write(dict(_shown(manifest, _SHAPE)))


def with_replicas(text: str, service: str, count: int) -> str:
    """The text of a manifest that says so many instances of a service, as TOML; what else it says stays as it is."""
    tree = read(text)
    return toml_text.write(
        {**tree, "services": {**tree["services"], service: {**tree["services"][service], "replicas": count}}}
    )


def _shown(value: Struct, kind: inspect.Type) -> Iterator[tuple[str, Any]]:
    assert isinstance(kind, inspect.StructType)
    for field in kind.fields:
        held, default = getattr(value, field.name), _default(value, field)
        if held != default:
            yield field.encode_name, _written(held, field.type)


def _default(value: Struct, field: inspect.Field) -> object:
    if isinstance(value, Service) and field.name == "update":
        return _default_update(value.volumes)
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _written(value: Any, kind: inspect.Type) -> Any:
    match kind:
        case inspect.Metadata(extra={"write": write}):
            return write(value)
        case inspect.UnionType(types=types):
            return _written(value, next(one for one in types if not isinstance(one, inspect.NoneType)))
        case inspect.DictType(value_type=inner):
            return {key: _written(one, inner) for key, one in value.items()}
        case inspect.StructType():
            return dict(_shown(value, kind))
    return value
