"""This machine, brought up: its pool, engine, store and serving plane, each started or adopted."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from daemon.booting import Boot
from daemon.changing.secrets import place
from daemon.confidential import credentials
from daemon.contents import committed
from daemon.doctor.network import Door
from daemon.journal import rfc3339
from daemon.keeping import Kept, keep
from daemon.mirror import Mirror
from daemon.node import ZONE, Node
from daemon.primitive import NotSo
from daemon.records import Cluster, Machine
from daemon.serving import ServingPlane
from daemon.store import Store
from daemon.streaming import Streaming
from daemon.undertaking import VERSION
from daemon.watching import Watching
from dataplane.bus import Bus
from dataplane.firewall import Firewall
from dataplane.gateway import Gateway
from dataplane.kv import Kv
from dataplane.names import Names
from dataplane.nats_server import NatsServer
from dataplane.pool import PoolWish, open_pool, place_of
from dataplane.process import Process
from dataplane.vault import Vault, VaultProblem
from dataplane.zfs import Zfs
from runtime.docker import Docker
from runtime.dockerd import EnginePlace, engine_answers, engine_command, prepare_engine
from runtime.engines import Engines
from runtime.host.engine import Host
from runtime.host.group import control_groups
from runtime.host.systemd import is_init
from runtime.network import Bridge, ensure_network

log = logging.getLogger("ployzd")

STORE_PORT = 4222
NAMES_PORT = 53
MTU = 1420
"""Of the instances' network: what WireGuard leaves of 1500 bytes."""


@dataclass(frozen=True)
class Settings:
    """What a machine is told at its start. `engine` is the socket of an engine, or None: one of our own is started."""

    machine: str
    folder: Path
    engine: Path | None
    gateway_listen: str
    pool: PoolWish
    cidr: str = "10.210.0.0/16"
    services: str = "10.210.224.0/19"
    subnet: str = "10.210.1.0/24"
    address: str = "10.210.1.1"
    default_bridge: str = "10.209.1.1/24"

    @property
    def bridge(self) -> Bridge:
        """The network that instances join."""
        return Bridge(self.subnet, self.address, MTU)


@dataclass(frozen=True)
class Up:
    """The parts of a machine that is up."""

    node: Node
    engines: Engines
    datasets: Zfs
    vault: Vault
    store: Store
    streaming: Streaming
    mirror: Mirror
    kv: Kv
    plane: ServingPlane
    doors: tuple[Door, ...]
    following: tuple[asyncio.Task[None], ...]
    boot: Boot


async def bring_up(settings: Settings) -> Up:
    """Start what does not run, adopt what does, and serve what was committed."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    for part in ("operations", "serving"):
        (settings.folder / part).mkdir(exist_ok=True)
    vault = await Vault.open(settings.folder / "vault")
    server = NatsServer(settings.folder / "store", STORE_PORT, settings.machine)
    datasets, docker, kv = await asyncio.gather(open_pool(settings.pool), _docker(settings), _records(server))
    engines = Engines(docker, await _host(settings))
    store, mirror = Store(kv), Mirror(settings.folder / "mirror", kv)
    await _found(store, settings)
    mirror.load()
    docker.login = partial(credentials, store, vault)
    names, gateway = _names(settings), _gateway(settings)
    serving = await _serving(settings, store, names, gateway)
    await _have_files(store, docker)
    await _have_secrets(store, vault)
    streaming = Streaming(datasets)
    node = Node(
        settings.machine, settings.subnet, settings.services, datasets, engines, store, serving, streaming, vault
    )
    boot = Boot(node, await place_of(settings.pool) / ".boot")
    watching = Watching(settings.machine, serving, [engines.docker, engines.host])
    keeping = (
        Kept("nats-server", server.running, server.ensure),
        Kept("dnsmasq", _found_by(names.process), names.ensure),
        Kept("caddy", _found_by(gateway.process), gateway.ensure),
    )
    following = (
        _going_on("mirror", mirror.follow()),
        _going_on("watching", watching.follow()),
        *(_going_on(kept.name, keep(kept)) for kept in keeping),
    )
    ports = {"nats-server": STORE_PORT, "dnsmasq": NAMES_PORT, "caddy": int(settings.gateway_listen.rpartition(":")[2])}
    doors = tuple(Door(kept.name, ports[kept.name], kept.pid) for kept in keeping)
    return Up(node, engines, datasets, vault, store, streaming, mirror, kv, serving, doors, following, boot)


def _going_on(name: str, effort: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task beside all others, for ever. Should a bug end it, the log says so."""

    def over(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()):
            log.error("%s has a bug, and goes on only after a restart", name, exc_info=failure)

    task = asyncio.create_task(effort, name=name)
    task.add_done_callback(over)
    return task


async def _docker(settings: Settings) -> Docker:
    socket = settings.engine or await _own_engine(settings)
    docker = Docker(socket, settings.bridge.name, settings.address, files=settings.folder / "files")
    await ensure_network(docker.engine, settings.bridge)
    return docker


async def _host(settings: Settings) -> Host:
    """Processes of this machine. No instance sees where the machine keeps everything, others' volumes included."""
    folder = settings.folder.resolve()
    host = Host(
        folder / "host",
        settings.bridge,
        control_groups(folder, systemd=is_init()),
        settings.address,
        (folder, await place_of(settings.pool)),
        systemd=is_init(),
    )
    host.adopt()
    return host


async def _own_engine(settings: Settings) -> Path:
    folder = settings.folder / "docker"
    place = EnginePlace(folder, folder / "docker.sock", settings.default_bridge, MTU)
    process = Process("dockerd", engine_command(place), folder)
    if not process.running():
        await prepare_engine(place)
    await process.ensure()
    await engine_answers(place.socket)
    return place.socket


async def _records(server: NatsServer) -> Kv:
    await server.ensure()
    bus = await Bus.connect(server.url, seed=server.seed(), inbox=server.inbox)
    await bus.connected()
    kv = Kv(bus, "records")
    await kv.found()
    return kv


async def _found(store: Store, settings: Settings) -> None:
    now = rfc3339()
    cluster = Cluster(name=settings.machine, cidr=settings.cidr, incarnation=1, founded_at=now)
    machine = Machine(
        id=uuid.uuid4().hex,
        name=settings.machine,
        subnet=settings.subnet,
        overlay_ip=settings.address,
        created_at=now,
        version=VERSION,
    )
    await store.found(cluster, machine)


async def _have_files(store: Store, docker: Docker) -> None:
    """What a machine lost of its instances' files is there again before the engine starts one of them anew."""
    for record in (await store.namespaces()).values():
        for id, by, files in committed(record.head) if record.head else ():
            await docker.restore_files(id, by, files)


async def _have_secrets(store: Store, vault: Vault) -> None:
    """What instances see of secrets is there again after a boot. One that cannot have them is told of, and waited for
    by nobody."""
    for name, record in (await store.namespaces()).items():
        for service in record.head.services.values() if record.head else ():
            for instance in service.instances:
                try:
                    await place(name, service, instance, store, vault)
                except (NotSo, VaultProblem) as problem:
                    log.error("%s will not find its secrets when it starts again: %s", instance.id, problem)


def _found_by(process: Process) -> Callable[[], Awaitable[int | None]]:
    async def pid() -> int | None:
        return process.running()

    return pid


def _names(settings: Settings) -> Names:
    return Names(settings.address, ZONE, settings.folder / "serving" / "names")


def _gateway(settings: Settings) -> Gateway:
    return Gateway(settings.gateway_listen, settings.folder / "serving" / "gateway")


async def _serving(settings: Settings, store: Store, names: Names, gateway: Gateway) -> ServingPlane:
    firewall = Firewall(settings.services, "ploy0", settings.address)
    await asyncio.gather(firewall.ensure(), names.ensure(), gateway.ensure())
    plane = ServingPlane(firewall, names, gateway, store, settings.folder / "serving")
    await plane.apply()
    return plane
