"""The parts of a machine that serve on it, each started or adopted: engines, names, gateway and firewall."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from daemon.changing.secrets import place
from daemon.contents import committed
from daemon.doctor.network import Door
from daemon.keeping import Kept
from daemon.meshing import MTU
from daemon.node import ZONE
from daemon.own_server import OwnServer
from daemon.primitive import NotSo
from daemon.serving import ServingPlane
from daemon.settings import Settings
from daemon.store import Store
from dataplane.firewall import Firewall
from dataplane.gateway import Gateway
from dataplane.names import Names
from dataplane.pool import place_of
from dataplane.process import Process
from dataplane.vault import Vault, VaultProblem
from runtime.docker import Docker
from runtime.dockerd import EnginePlace, engine_answers, engine_command, prepare_engine
from runtime.host.engine import Host
from runtime.host.group import control_groups
from runtime.host.systemd import is_init
from runtime.network import ensure_network

log = logging.getLogger("ployzd")

NAMES_PORT = 53


async def docker(settings: Settings) -> Docker:
    socket = settings.engine or await _own_engine(settings)
    docker = Docker(socket, settings.bridge.name, settings.address, files=settings.folder / "files")
    await ensure_network(docker.engine, settings.bridge)
    return docker


async def host(settings: Settings) -> Host:
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


def keeping(server: OwnServer, names: Names, gateway: Gateway) -> tuple[Kept, ...]:
    """What is started again should it end."""
    return (
        Kept("nats-server", server.running, server.ensure),
        Kept("dnsmasq", _found_by(names.process), names.ensure),
        Kept("caddy", _found_by(gateway.process), gateway.ensure),
    )


def doors(keeping: tuple[Kept, ...], server: OwnServer, settings: Settings) -> tuple[Door, ...]:
    ports = {
        "nats-server": server.server.layout.ports.clients,
        "dnsmasq": NAMES_PORT,
        "caddy": int(settings.gateway_listen.rpartition(":")[2]),
    }
    return tuple(Door(kept.name, ports[kept.name], kept.pid) for kept in keeping)


async def have_files(store: Store, docker: Docker, machine: str) -> None:
    """What a machine lost of its instances' files is there again before the engine starts one of them anew."""
    for record in (await store.namespaces()).values():
        for id, by, files in committed(record.head, machine) if record.head else ():
            await docker.restore_files(id, by, files)


async def have_secrets(store: Store, vault: Vault, machine: str) -> None:
    """What instances see of secrets is there again after a boot. One that cannot have them is told of, and waited for
    by nobody."""
    for name, record in (await store.namespaces()).items():
        for service in record.head.services.values() if record.head else ():
            for instance in (each for each in service.instances if each.machine == machine):
                try:
                    await place(name, service, instance, store, vault)
                except (NotSo, VaultProblem) as problem:
                    log.error("%s will not find its secrets when it starts again: %s", instance.id, problem)


def _found_by(process: Process) -> Callable[[], Awaitable[int | None]]:
    async def pid() -> int | None:
        return process.running()

    return pid


def names(settings: Settings) -> Names:
    return Names(settings.address, ZONE, settings.folder / "serving" / "names")


def gateway(settings: Settings) -> Gateway:
    return Gateway(settings.gateway_listen, settings.folder / "serving" / "gateway")


async def serving(settings: Settings, store: Store, names: Names, gateway: Gateway) -> ServingPlane:
    firewall = Firewall(settings.services, "ploy0", settings.address)
    await asyncio.gather(firewall.ensure(), names.ensure(), gateway.ensure())
    return ServingPlane(firewall, names, gateway, store, settings.folder / "serving")
