"""A container as the engine tells it and as it is asked for: pure functions between its words and ours."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec
from docker.types import EndpointConfig, HostConfig, LogConfig, Mount, Ulimit
from msgspec import Struct

from runtime.image_names import meant
from runtime.instance import Condition, EngineProblem, Specification, Status

OPERATION = "ployz.operation"
"""The label that names the operation which made a container; none of ours is without it."""

NEVER = "0001-01-01T00:00:00Z"
STATUS: dict[str, Status] = {
    "created": "created",
    "running": "running",
    "paused": "running",
    "restarting": "restarting",
    "removing": "stopped",
    "exited": "stopped",
    "dead": "stopped",
}


class Asked(Struct, frozen=True, rename={"ip": "IPv4Address"}):
    ip: str = ""


class Endpoint(Struct, frozen=True, rename={"ip": "IPAddress", "asked": "IPAMConfig"}):
    ip: str = ""
    asked: Asked | None = None


class Networks(Struct, frozen=True, rename="pascal"):
    networks: dict[str, Endpoint] = {}


class State(Struct, frozen=True, rename="pascal"):
    status: str
    started_at: str
    finished_at: str
    exit_code: int
    pid: int
    oom_killed: bool = msgspec.field(default=False, name="OOMKilled")


class Config(Struct, frozen=True, rename="pascal"):
    image: str
    labels: dict[str, str] | None = None


class Limit(Struct, frozen=True, rename="pascal"):
    name: str
    soft: int
    hard: int


class Device(Struct, frozen=True, rename="pascal"):
    path_on_host: str


class Logged(Struct, frozen=True, rename="pascal"):
    config: dict[str, str] | None = None


class Host(Struct, frozen=True, rename="pascal"):
    """What the engine says that it was asked for. It leaves out what it cannot do."""

    ulimits: list[Limit] | None = None
    devices: list[Device] | None = None
    cap_add: list[str] | None = None
    readonly_rootfs: bool = False
    nano_cpus: int = 0
    memory: int = 0
    shm_size: int = 0
    log_config: Logged = Logged()


class Inspected(Struct, frozen=True, rename="pascal"):
    """What we read of `GET /containers/<id>/json`."""

    id: str
    name: str
    created: str
    image: str
    state: State
    config: Config
    network_settings: Networks
    restart_count: int = 0
    host_config: Host = Host()

    @property
    def labels(self) -> dict[str, str]:
        return self.config.labels or {}

    @property
    def up(self) -> bool:
        """Whether the engine runs it, or is about to run it again."""
        return self.state.status in ("running", "paused", "restarting")


def inspected(answer: Any) -> Inspected:
    """Raises EngineProblem for an answer of another shape."""
    try:
        return msgspec.convert(answer, Inspected)
    except msgspec.ValidationError as error:
        raise EngineProblem(f"cannot understand what the engine says of a container: {error}") from error


def condition(found: Inspected, network: str) -> Condition:
    """A container in our words. The engine forgets the last exit code once it has started it again."""
    state, endpoint = found.state, found.network_settings.networks.get(network, Endpoint())
    up = state.status in ("running", "paused")
    since = state.started_at if up else state.finished_at
    return Condition(
        id=found.name.removeprefix("/"),
        status=STATUS.get(state.status, "stopped"),
        labels=found.labels,
        ip=endpoint.ip or (endpoint.asked.ip if endpoint.asked else "") or None,
        image=meant(found.config.image),
        digest=found.image,
        since=found.created if since == NEVER else since,
        restarts=found.restart_count,
        last_exit=None if up or state.finished_at == NEVER else state.exit_code,
        out_of_memory=state.oom_killed and not up,
        pid=state.pid or None,
    )


def statuses(rows: Any) -> dict[str, Status]:
    """By name, what `GET /containers/json` tells of them. Raises EngineProblem for an answer of another shape."""
    try:
        return {row["Names"][0].removeprefix("/"): STATUS.get(row["State"], "stopped") for row in rows}
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise EngineProblem("cannot understand the engine's list of containers") from error


def ignored(found: Inspected, specification: Specification) -> Iterator[str]:
    """Which settings the engine did not take, and what it says instead."""
    told, asked = found.host_config, specification.bounds
    limits = {limit.name: (limit.soft, limit.hard) for limit in told.ulimits or ()}
    capabilities = sorted(name.removeprefix("CAP_") for name in told.cap_add or ())
    pairs = {
        "ulimits": (limits, dict(asked.ulimits)),
        "devices": (sorted(device.path_on_host for device in told.devices or ()), sorted(set(asked.devices))),
        "cap_add": (capabilities, sorted(set(asked.cap_add))),
        "read_only": (told.readonly_rootfs, asked.read_only),
        "log.max": ((told.log_config.config or {}).get("max-size"), str(_half(asked.log))),
        "resources.cpus": (told.nano_cpus, _nano(asked.cpus)),
        "resources.memory": (told.memory, asked.memory or 0),
        "shm": (told.shm_size, specification.shm or told.shm_size),
    }
    for name, (has, wanted) in pairs.items():
        if has != wanted:
            yield f"{name} is {has}, not {wanted}"


def request(specification: Specification, by: str, network: str, dns: str | None) -> dict[str, Any]:
    """The arguments of `create_container` for a specification."""
    return {
        "name": specification.id,
        "image": specification.image,
        "command": _words(specification.command),
        "entrypoint": _words(specification.entrypoint),
        "environment": dict(specification.env),
        "user": specification.user,
        "working_dir": specification.workdir,
        "labels": {**specification.labels, OPERATION: by},
        "stop_timeout": math.ceil(specification.stop_grace),
        "host_config": _host(specification, network, dns),
        "networking_config": {"EndpointsConfig": {network: EndpointConfig("1.41", ipv4_address=specification.ip)}},
        "use_config_proxy": False,
        "stdin_open": specification.attached,
        "tty": specification.tty,
    }


def _words(argv: tuple[str, ...] | None) -> list[str] | None:
    return None if argv is None else list(argv)


def _host(specification: Specification, network: str, dns: str | None) -> HostConfig:
    bounds = specification.bounds
    return HostConfig(
        version="1.41",
        network_mode=network,
        dns=[dns] if dns else None,
        dns_search=list(specification.search) or None,
        # `db` and `db.shop` are looked up in the search domains first, by glibc and by musl.
        dns_opt=["ndots:2"] if specification.search else None,
        shm_size=specification.shm,
        # As a mount, not as a bind: a bind makes an empty directory of a source that is missing.
        mounts=[Mount(m.target, m.source, type="bind", read_only=m.read_only) for m in specification.mounts],
        # `on-failure` restarts after a crash only; the others also at boot, before anybody compared an epoch.
        restart_policy={"Name": "on-failure" if specification.survives else "no"},
        log_config=LogConfig(type="json-file", config={"max-size": str(_half(bounds.log)), "max-file": "2"}),
        ulimits=[Ulimit(name=name, soft=soft, hard=hard) for name, (soft, hard) in bounds.ulimits.items()],
        devices=[f"{device}:{device}:rwm" for device in bounds.devices],
        cap_add=list(bounds.cap_add),
        read_only=bounds.read_only,
        nano_cpus=_nano(bounds.cpus) or None,
        mem_limit=bounds.memory,
        # Whoever gives a limit wants it to end there: not to be slow for as long as there is swap.
        memswap_limit=bounds.memory,
    )


def _half(log: int) -> int:
    """A log is two files: what is written, and what was written before."""
    return log // 2


def _nano(cpus: float | None) -> int:
    return round((cpus or 0) * 10**9)
