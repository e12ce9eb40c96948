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

from daemon import problems
from daemon.answering import Answering
from daemon.confidential import written
from daemon.dev import main as dev
from daemon.doctor import main as doctor
from daemon.doctor.machine import checked
from daemon.engine import Engine
from daemon.looking import Looking
from daemon.machine import Settings, Up, bring_up
from daemon.operations import Operations
from daemon.primitives import PRIMITIVES
from daemon.server import Server
from daemon.undertaking import VERSION, Means
from daemon.wire import OperationRow
from dataplane.pool import SIZE, PoolWish

log = logging.getLogger("ployzd")


async def serve(settings: Settings, socket: Path, viewers: frozenset[int]) -> None:
    """Bring the machine up and answer until a signal comes."""
    up = await bring_up(settings)
    engine = Engine(up.node, decided=up.boot.start)
    told = partial(written, fingerprint=up.vault.fingerprint)
    means = Means(settings.folder / "operations", engine, up.store, PRIMITIVES, written=told)
    operations = Operations(means)
    await up.boot.begin()
    await operations.bring_to_an_end()
    await up.boot.start_all_but(operations.undecided())
    running = partial(_running, operations)
    doctor = partial(checked, up, settings.folder, running)
    server = Server(Answering(operations, _looking(settings, up, running), up.streaming, doctor), viewers)
    await server.start(socket)
    log.info("%s answers at %s", settings.machine, socket)
    await _signal()
    await server.close()


async def _running(operations: Operations) -> list[OperationRow]:
    return operations.rows(all=False)


def _looking(settings: Settings, up: Up, running: Callable[[], Awaitable[list[OperationRow]]]) -> Looking:
    about = {
        "version": VERSION,
        "zfs": "several snapshots at once" if up.datasets.abilities.several_snapshots else "zfs-fuse",
    }
    return Looking(
        settings.machine, up.mirror, up.engines, up.datasets, running, about, unstarted=lambda: up.boot.reasons
    )


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
    return Settings(words.machine, folder, engine, words.gateway_listen, pool)


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
        if not problems.known(failure):
            raise
        log.error("cannot start: %s", failure)
        os._exit(1)  # what asyncio says of all that is cut off would hide the reason
    # Whatever still runs is cut as by a kill: the next start resolves it. A tidy end would take it back instead.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
