"""This machine, brought up: its pool, engine, store and serving plane, each started or adopted."""

import asyncio
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from daemon.confidential import credentials
from daemon.journal import rfc3339
from daemon.mirror import Mirror
from daemon.node import ZONE, Node
from daemon.records import Cluster, Machine
from daemon.serving import ServingPlane
from daemon.store import Store
from daemon.undertaking import VERSION
from dataplane.bus import Bus
from dataplane.firewall import Firewall
from dataplane.gateway import Gateway
from dataplane.kv import Kv
from dataplane.names import Names
from dataplane.nats_server import NatsServer
from dataplane.pool import PoolWish, open_pool
from dataplane.process import Process
from dataplane.vault import Vault
from dataplane.zfs import Zfs
from runtime.docker import Docker
from runtime.dockerd import EnginePlace, engine_answers, engine_command, prepare_engine
from runtime.network import Bridge, ensure_network

STORE_PORT = 4222
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


@dataclass(frozen=True)
class Up:
    """The parts of a machine that is up."""

    node: Node
    docker: Docker
    datasets: Zfs
    vault: Vault
    store: Store
    mirror: Mirror
    following: asyncio.Task[None]


async def bring_up(settings: Settings) -> Up:
    """Start what does not run, adopt what does, and serve what was committed."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    for part in ("operations", "serving"):
        (settings.folder / part).mkdir(exist_ok=True)
    vault = await Vault.open(settings.folder / "vault")
    datasets, docker, kv = await asyncio.gather(open_pool(settings.pool), _engine(settings), _records(settings))
    store, mirror = Store(kv), Mirror(settings.folder / "mirror", kv)
    await _found(store, settings)
    mirror.load()
    docker.login = partial(credentials, store, vault)
    serving = await _serving(settings, store)
    node = Node(settings.machine, settings.subnet, settings.services, datasets, docker, store, serving, vault)
    return Up(node, docker, datasets, vault, store, mirror, asyncio.create_task(mirror.follow(), name="mirror"))


async def _engine(settings: Settings) -> Docker:
    socket = settings.engine or await _own_engine(settings)
    docker = Docker(socket, "ploy", settings.address)
    await ensure_network(docker.engine, Bridge(settings.subnet, settings.address, MTU))
    return docker


async def _own_engine(settings: Settings) -> Path:
    folder = settings.folder / "docker"
    place = EnginePlace(folder, folder / "docker.sock", settings.default_bridge, MTU)
    process = Process("dockerd", engine_command(place), folder)
    if not process.running():
        await prepare_engine(place)
    await process.ensure()
    await engine_answers(place.socket)
    return place.socket


async def _records(settings: Settings) -> Kv:
    server = NatsServer(settings.folder / "store", STORE_PORT, settings.machine)
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


async def _serving(settings: Settings, store: Store) -> ServingPlane:
    folder = settings.folder / "serving"
    firewall = Firewall(settings.services, "ploy0", settings.address)
    names = Names(settings.address, ZONE, folder / "names")
    gateway = Gateway(settings.gateway_listen, folder / "gateway")
    await asyncio.gather(firewall.ensure(), names.ensure(), gateway.ensure())
    plane = ServingPlane(firewall, names, gateway, store, folder)
    await plane.apply()
    return plane
