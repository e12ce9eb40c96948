"""ployzd: brings this machine up, ends what an earlier daemon left open, and answers on its socket.

It may be killed at any moment: nothing that serves depends on it, and the next start finishes or takes back
whatever was open. So the way out is the same after a signal as after a kill.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from daemon import addressing, membership, problems
from daemon.all_operations import AllOperations
from daemon.answering import Answering
from daemon.coming_back import come_back, follow
from daemon.coming_up import ComingUp
from daemon.confidential import written
from daemon.dev import main as dev
from daemon.doctor import main as doctor
from daemon.doctor.machine import checked
from daemon.door import Door
from daemon.draining import Draining
from daemon.engine import SOLE, Engine
from daemon.journal import rfc3339
from daemon.keepers import Keepers
from daemon.looking import Looking
from daemon.machine import Up, bring_up, going_on
from daemon.membership import Membership
from daemon.operations import Operations
from daemon.peers.line import BusLine, subject
from daemon.peers.others import ALONE, LineOthers
from daemon.peers.participant import Participant
from daemon.peers.questions import answers
from daemon.primitives import PRIMITIVES
from daemon.server import Server
from daemon.settings import Settings
from daemon.sites import Daemon, Site, Sites
from daemon.survey import Survey
from daemon.taking_over import Terms
from daemon.telling import Telling
from daemon.undertaking import VERSION, Means
from daemon.wire import OperationRow
from dataplane.calls import Question
from dataplane.pool import SIZE, PoolWish

log = logging.getLogger("ployzd")


async def serve(settings: Settings, socket: Path, viewers: frozenset[int]) -> None:
    """Bring the machine up and answer until a signal comes."""
    up = await bring_up(settings)
    asked, operations = await _operations(settings, up)
    up.among.mesh.at_work_here = lambda: list(operations.running)
    draining = Draining(operations)
    keepers = Keepers(up.among.mesh, up.among.members, operations, up.among.calls, draining)
    await keepers.answer()

    async def resolve() -> None:
        await operations.bring_to_an_end()
        await come_back(asked, operations)

    coming = ComingUp(up, resolve, lambda: up.boot.start_all_but(operations.undecided()))
    rising = await coming.begin()
    returning = going_on("coming back", follow(up.around.observing.back, asked, operations))
    running = partial(_running, operations)
    doctor = partial(checked, up, settings.folder, running)

    telling = Telling(up, running)
    await telling.answer()
    looking = _looking(settings, up, telling)
    answering = Answering(
        operations,
        AllOperations(operations, up.among.mirror, looking.sites, BusLine(up.among.calls)),
        looking,
        up.streaming,
        doctor,
        Survey(up.among.mesh, up.among.mirror, up.around.observing, looking.sites),
        up.engines,
        keepers,
        draining,
        up.among.whereabouts,
        coming.seen,
    )
    server = Server(answering, viewers)
    if settings.membership.cluster.mesh:
        await Door(
            addressing.door(settings.membership.cluster.cidr), up.among.members, operations.mutate, up.among.mesh.seen
        ).open()
    await server.start(socket)
    log.info("%s answers at %s", settings.machine, socket)
    await _signal()
    rising.cancel()
    returning.cancel()
    await server.close()


async def _operations(settings: Settings, up: Up) -> tuple[Participant, Operations]:
    """This machine's part in operations: in those of others, which it does from now on, and in its own."""

    def give_up(id: str, term: int) -> Awaitable[None]:
        return operations.give_up(id, term)

    store, alone = up.among.store, not settings.membership.cluster.mesh
    asked = Participant(up.node, settings.folder / "asked", store.ended_in, give_up)
    engine = Engine(up.node, decided=up.boot.start, standing=SOLE if alone else Terms(store, asked))
    told = partial(written, fingerprint=up.vault.fingerprint)
    others = (
        ALONE
        if alone
        else LineOthers(
            BusLine(up.among.calls, away=up.among.mirror.lost), lambda: _taking_part(up.among.mesh.membership)
        )
    )
    operations = Operations(
        Means(settings.folder / "operations", engine, store, PRIMITIVES, written=told, others=others)
    )
    for what, answer in answers(asked, operations).items():
        await up.among.calls.answer(subject(settings.machine, what), partial(_answered, answer))
    if not alone:
        await up.around.talking.open(settings.address)
        await up.transfers.open(settings.address)
    return asked, operations


def _taking_part(now: Membership) -> list[str]:
    """Who may have a part in operations: not yet those who are let in and start anew, as members, just now."""
    return [name for name, machine in now.machines.items() if machine.state != "joining"]


async def _answered(answer: Callable[[bytes], Awaitable[bytes]], question: Question) -> bytes:
    return await answer(question.data)


async def _running(operations: Operations) -> list[OperationRow]:
    return operations.rows(all=False)


def _looking(settings: Settings, up: Up, daemon: Daemon) -> Looking:
    about = {
        "version": VERSION,
        "zfs": "several snapshots at once" if up.datasets.abilities.several_snapshots else "zfs-fuse",
    }
    own = Site(settings.machine, up.engines, up.datasets, daemon)
    return Looking(settings.machine, up.among.mirror, Sites(own, up.around.sites), about)


async def _signal() -> None:
    came = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, came.set)
    await came.wait()


def settings_from(words: argparse.Namespace) -> Settings:
    """What the command line says."""
    folder = Path(words.data_dir)
    pool = PoolWish(words.machine, folder, words.zfs_root, words.pool_size)
    engine = None if words.engine == "managed" else Path(words.engine)
    return Settings(_membership(folder, words.machine), folder, engine, words.gateway_listen, pool)


def _membership(folder: Path, name: str) -> Membership:
    """What the machine is. At its first start it becomes a cluster of its own, of that name."""
    file = folder / "membership.json"
    found = membership.load(file)
    if found is None:
        found = membership.alone(name, rfc3339(), VERSION)
        membership.save(file, found)
    return found


def parser() -> argparse.ArgumentParser:
    """The words of ployzd."""
    words = argparse.ArgumentParser("ployzd", description="The daemon of one machine of a ployz cluster.")
    words.add_argument("--data-dir", default="/var/lib/ployz", help="where this machine keeps everything")
    words.add_argument("--socket", default="/run/ployz/ployzd.sock", help="where it answers")
    words.add_argument("--machine", default=os.uname().nodename.partition(".")[0].lower(), help="its name")
    words.add_argument("--engine", default="/var/run/docker.sock", help="an engine's socket, or `managed`: its own")
    words.add_argument("--gateway-listen", default=":80", help="where the gateway listens")
    words.add_argument("--zfs-root", help="POOL/DATASET to use; without it a pool in a file is made")
    words.add_argument("--pool-size", type=int, default=SIZE, help="bytes of that file")
    words.add_argument("--viewer", type=int, action="append", default=[], help="a uid that may only look")
    return words


def main() -> int:
    """Run as `ployzd`, make local clusters as `ployzd dev`, or examine this host as `ployzd doctor`."""
    if sys.argv[1:2] == ["dev"]:
        return dev.answer(sys.stdin.buffer, sys.stdout.buffer)
    if sys.argv[1:2] == ["doctor"]:
        return doctor.answer(sys.stdout.buffer)
    words = parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.new_event_loop().run_until_complete(
            serve(settings_from(words), Path(words.socket), frozenset(words.viewer))
        )
    except Exception as failure:
        if problems.known(failure):
            log.error("cannot start: %s", failure)
        else:
            log.exception("this is a bug in ployzd, which ends")
        os._exit(1)  # what asyncio says of all that is cut off would hide the reason
    # Whatever still runs is cut as by a kill: the next start resolves it. A tidy end would take it back instead.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
