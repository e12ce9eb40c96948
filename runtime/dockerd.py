"""How a Docker engine of our own is started, where no systemd does that."""

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from runtime.engine import Engine
from runtime.instance import EngineProblem, EngineUnavailable

LONGEST_SOCKET = 107
"""Bytes of a Unix socket's path (unix(7))."""


@dataclass(frozen=True)
class EnginePlace:
    """Where an engine keeps its things and listens. `bip` is the address of its default bridge, with its length."""

    folder: Path
    socket: Path
    bip: str
    mtu: int = 1500

    @property
    def exec_root(self) -> Path:
        return self.folder / "exec"

    @property
    def pid_file(self) -> Path:
        return self.folder / "dockerd.pid"


def engine_command(place: EnginePlace) -> tuple[str, ...]:
    """The words that start it. Containers live on when it ends (`--live-restore`)."""
    return (
        "dockerd",
        *("--data-root", str(place.folder / "data")),
        *("--exec-root", str(place.exec_root)),
        *("-H", f"unix://{place.socket}"),
        *("-p", str(place.pid_file)),
        *("--bip", place.bip),
        *("--mtu", str(place.mtu)),
        "--userland-proxy=false",
        "--live-restore",
    )


async def prepare_engine(place: EnginePlace) -> None:
    """What has to be so before it starts. Only for an engine that is not running."""
    if len(os.fsencode(place.socket)) > LONGEST_SOCKET:
        raise EngineProblem(f"cannot start an engine: the path of its socket is too long: {place.socket}")
    place.folder.mkdir(parents=True, exist_ok=True)
    place.socket.parent.mkdir(parents=True, exist_ok=True)
    # Else the engine sets the policy of forwarding to DROP when it turns it on by itself.
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")
    # After a kill these name processes that are gone, are zombies, or by now are somebody else: it would wait for them.
    _drop_if_stale(place.exec_root / "containerd" / "containerd.pid", "containerd")
    _drop_if_stale(place.pid_file, "dockerd")


async def engine_answers(socket: Path, within: float = 30.0) -> None:
    """Wait until the engine answers. Raises EngineUnavailable when its time is up."""
    engine = Engine(socket, within=within)
    try:
        async with asyncio.timeout(within):
            while not await _answers(engine):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise EngineUnavailable(f"the engine at {socket} did not answer within {within:g} seconds") from None
    finally:
        engine.close()


async def _answers(engine: Engine) -> bool:
    with suppress(EngineProblem):
        return bool(await engine.ask("cannot reach the engine", lambda client: client.ping()))
    return False


def _drop_if_stale(file: Path, program: str) -> None:
    with suppress(FileNotFoundError):
        word = file.read_text().strip()
        if not (word.isdigit() and _runs(int(word), program, file.parent)):
            file.unlink()


def _runs(pid: int, program: str, folder: Path) -> bool:
    """Whether that process is alive and was started with this program's name and something in that folder."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return Path(words[0]).name == program and any(str(folder) in word for word in words[1:])
