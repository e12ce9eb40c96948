"""This machine, brought up: its pool, engine, store and serving plane, each started or adopted."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from daemon import parts
from daemon.booting import Boot
from daemon.bucket import BUCKET
from daemon.catching_up import CatchingUp
from daemon.confidential import credentials
from daemon.doctor.network import Door
from daemon.keeping import Kept, keep
from daemon.members import Members
from daemon.meshing import Meshing, Place
from daemon.mirror import Mirror
from daemon.moving import Moving
from daemon.node import Node
from daemon.observing import Observing
from daemon.own_server import OwnServer
from daemon.peers.instances import Talks
from daemon.peers.line import BusLine
from daemon.peers.remote import RemotePeers
from daemon.peers.streams import StreamsThere
from daemon.peers.surroundings import Own, Surroundings
from daemon.serving import ServingPlane
from daemon.settings import Settings
from daemon.store import Store
from daemon.streaming import Streaming
from daemon.transferring import Transferring
from daemon.watching import Watching
from daemon.whereabouts import Whereabouts
from dataplane.bus import Bus
from dataplane.calls import Calls
from dataplane.kv import Kv
from dataplane.pool import open_pool, place_of
from dataplane.vault import Vault
from dataplane.zfs import Zfs
from runtime.engines import Engines
from runtime.memory import Memory
from runtime.standstill import Standstills

log = logging.getLogger("ployzd")


@dataclass(frozen=True)
class Among:
    """A machine among the others of its cluster: the records that they share, and the ways to them."""

    kv: Kv
    calls: Calls
    store: Store
    members: Members
    mirror: Mirror
    mesh: Meshing
    moving: Moving
    whereabouts: Whereabouts


@dataclass(frozen=True)
class Up:
    """The parts of a machine that is up; `around` is how the others are seen from here."""

    node: Node
    among: Among
    engines: Engines
    datasets: Zfs
    vault: Vault
    streaming: Streaming
    transfers: Transferring
    plane: ServingPlane
    watching: Watching
    boot: Boot
    around: Surroundings
    doors: Callable[[], tuple[Door, ...]]
    following: tuple[asyncio.Task[None], ...]


async def bring_up(settings: Settings) -> Up:
    """Start what does not run, and adopt what does; what was committed is served once the store has come into sight."""
    for part in ("operations", "serving"):
        (settings.folder / part).mkdir(parents=True, exist_ok=True)
    vault = await Vault.open(settings.folder / "vault")
    await Place(settings.folder).ensure(settings.membership)
    server = OwnServer(settings.folder / "store", settings.membership)
    datasets, docker, bus = await asyncio.gather(open_pool(settings.pool), parts.docker(settings), _bus(server))
    engines = Engines(docker, await parts.host(settings), Standstills(settings.folder / "standstill.log"))
    among = await _among_others(settings, server, bus, vault)
    docker.login = partial(credentials, among.store, vault)
    names, gateway = parts.names(settings), parts.gateway(settings)
    plane = await parts.serving(settings, among.store, names, gateway)
    streaming, transfers = Streaming(datasets), Transferring(datasets, among.mirror.machines)
    talks = Talks(among.mirror.machines)
    gives = partial(StreamsThere, talks=talks, met=streaming.met)
    line = BusLine(among.calls, away=among.mirror.lost)
    peers = RemotePeers(line, among.mirror.machines, lambda: node, gives)
    node = Node(
        machine=settings.machine,
        subnet=settings.subnet,
        services=settings.services,
        datasets=datasets,
        instances=engines,
        records=among.store,
        serving=plane,
        streams=streaming,
        transfers=transfers,
        vault=vault,
        host=Memory(),
        members=among.members,
        mesh=among.mesh,
        moves=among.moving,
        peers=peers,
    )
    own = Own(settings.machine, engines, streaming, plane)
    around = await Surroundings.of(among.mirror, among.calls, peers, talks, own)
    watching = Watching(settings.machine, plane, [engines.docker, engines.host], around.observing.tell)
    boot = Boot(node, await place_of(settings.pool) / ".boot", watching.release)
    keeping = parts.keeping(server, names, gateway)
    doors = partial(parts.doors, keeping, server, settings)
    following = _following(among, plane, watching, keeping)
    if settings.membership.cluster.mesh:
        following += _following_others(among, around.observing)
    return Up(
        node, among, engines, datasets, vault, streaming, transfers, plane, watching, boot, around, doors, following
    )


def _following(
    among: Among, plane: ServingPlane, watching: Watching, keeping: Sequence[Kept]
) -> tuple[asyncio.Task[None], ...]:
    """What goes on for as long as the daemon runs."""
    return (
        going_on("mirror", among.mirror.follow()),
        going_on("watching", watching.follow()),
        going_on("mesh", among.mesh.follow()),
        going_on("catching up", CatchingUp(among.mirror, plane).follow()),
        *(going_on(kept.name, keep(kept)) for kept in keeping),
    )


def _following_others(among: Among, observing: Observing) -> tuple[asyncio.Task[None], ...]:
    """What looks at them every few moments; a machine alone is at rest."""
    return (going_on("observing", observing.follow()), going_on("whereabouts", among.whereabouts.follow()))


async def _among_others(settings: Settings, server: OwnServer, bus: Bus, vault: Vault) -> Among:
    now, kv, calls = settings.membership, Kv(bus, BUCKET), await Calls.over(bus)
    store, members, mirror = Store(kv), Members(kv), Mirror(settings.folder / "mirror", kv)
    if now.is_founder:
        await kv.found()
        await store.found(now.cluster, now.here)
    mirror.load(now.cluster.id)
    place = Place(settings.folder)
    mesh = Meshing(place, now, members, mirror, vault, calls, server, start_again)
    await mesh.start()
    await mesh.answer()
    whereabouts = Whereabouts(mesh, mirror, members, server.others, server.tidy)
    if now.cluster.mesh:
        await whereabouts.answer()
    return Among(kv, calls, store, members, mirror, mesh, Moving(mesh, server, kv, vault), whereabouts)


def going_on(name: str, effort: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task beside all others. Should a bug end it, the log says so."""

    def over(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()):
            log.error("%s has a bug, and goes on only after a restart", name, exc_info=failure)

    task = asyncio.create_task(effort, name=name)
    task.add_done_callback(over)
    return task


async def _bus(own: OwnServer) -> Bus:
    await own.start()
    return await own.connected()


def start_again() -> None:
    """The daemon anew, in this process's place: whatever runs here is cut as by a kill, and resolved at its start."""
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
