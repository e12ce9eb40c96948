"""A container as the engine tells it and as it is asked for: pure functions between its words and ours."""

import math
from typing import Any

import msgspec
from docker.types import EndpointConfig, HostConfig, LogConfig, Mount
from msgspec import Struct

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


class Config(Struct, frozen=True, rename="pascal"):
    image: str
    labels: dict[str, str] | None = None


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
        image=found.config.image,
        digest=found.image,
        since=found.created if since == NEVER else since,
        restarts=found.restart_count,
        last_exit=None if up or state.finished_at == NEVER else state.exit_code,
        pid=state.pid or None,
    )


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
    }


def _words(argv: tuple[str, ...] | None) -> list[str] | None:
    return None if argv is None else list(argv)


def _host(specification: Specification, network: str, dns: str | None) -> HostConfig:
    return HostConfig(
        version="1.41",
        network_mode=network,
        dns=[dns] if dns else None,
        dns_search=list(specification.search) or None,
        # `db` and `db.shop` are looked up in the search domains first, by glibc and by musl.
        dns_opt=["ndots:2"] if specification.search else None,
        shm_size=specification.shm,
        # As a mount, not as a bind: a bind makes an empty directory of a source that is missing.
        mounts=[
            Mount(mount.target, mount.source, type="bind", read_only=mount.read_only) for mount in specification.mounts
        ],
        # `on-failure` restarts after a crash only; the others also at boot, before anybody compared an epoch.
        restart_policy={"Name": "on-failure" if specification.survives else "no"},
        log_config=LogConfig(type="json-file", config={"max-size": "50m", "max-file": "2"}),
    )
