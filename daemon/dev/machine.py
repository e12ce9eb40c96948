"""One machine of a local cluster: a process that holds its namespaces, and what runs in them.

Whoever ends that one process ends the machine, as if its power were cut: the kernel ends every process in it,
and its network and mounts go with the last of them. Its disk is its folder; it can be started again from it.
"""

import asyncio
import errno
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from daemon.dev.cgroup import Group
from daemon.dev.processes import Seen, gone, kill, seen
from dataplane.process import started
from runtime.command import detach, run

HOUSE = Path(__file__).parents[2]
PYTHON = (sys.executable, "-P", "-m")
NAMESPACES = (
    *("unshare", "--net", "--mount", "--cgroup", "--pid", "--fork", "--kill-child=KILL"),
    *("--mount-proc", "--propagation", "private", "--"),
)
FRESH = ("/run", "/var/run", "/var/lock", "/var/lib/zfs")
"""Folders that hold what belongs to a running machine, and that no two may share."""
SETTINGS = ("net.ipv4.ip_forward=1", "net.ipv4.tcp_migrate_req=1", "net.bridge.bridge-nf-call-iptables=1")
GATEWAY = ("127.0.0.1", "80")
READY = "run/ployz-dev-machine"


class MachineFailed(Exception):
    """A machine, or something in it, did not come up, or did not end."""


@dataclass(frozen=True)
class Machine:
    """A machine's folder (absolute, real), its control group, and the program that is its daemon."""

    folder: Path
    group: Group
    program: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def door(self) -> Path:
        return self.folder / "ployzd.sock"

    @property
    def log(self) -> Path:
        return self.folder / "ployzd.log"

    @property
    def holds(self) -> tuple[str, ...]:
        """The words of its first process. The lock keeps a second one from starting, seen from here or not."""
        return ("tini", "--", "flock", "--nonblock", str(self.folder / "held"), "sleep", "infinity")

    @property
    def serves(self) -> tuple[str, ...]:
        """The words of its daemon."""
        folders = ("--data-dir", str(self.folder / "data"), "--socket", str(self.door))
        return (*self.program, *folders, "--machine", self.name, "--engine", "managed", "--gateway-listen", ":80")

    @property
    def relays(self) -> tuple[str, ...]:
        """The first words of its way in."""
        return (*PYTHON, "daemon.dev.relay", str(self.folder))

    def holder(self) -> Seen | None:
        """Its first process, if it runs and was made ready."""
        found = self._first()
        return found if found and Path(f"/proc/{found.pid}/root/{READY}").exists() else None

    async def find(self, words: tuple[str, ...]) -> Seen | None:
        """The process with these words in its command line: running, or on its way into the machine."""
        for _ in range(2):  # while a process becomes another program it has no words for an instant
            if found := next((each for each in seen() if _contains(each.argv, words)), None):
                return found
            await asyncio.sleep(0.02)
        return None

    async def power_on(self, within: float = 20.0) -> None:
        """Make its namespaces, and ready what is in them. Raises MachineFailed, CommandError, OSError."""
        self.folder.mkdir(exist_ok=True)
        self.group.make()
        doors = map(str, self.group.doors(founding=True))
        log = self.folder / "holder.log"
        pid = await self._detach(*PYTHON, "daemon.dev.join", *doors, "--", *NAMESPACES, *self.holds, log=log)
        async with _bounded(within, f"{self.name} did not start"):
            while not (first := self._first()):
                if not started(pid):
                    raise MachineFailed(f"{self.name} did not start: {_end_of(log) or 'it is held from elsewhere'}")
                await asyncio.sleep(0.01)
        await self._ready(first)

    async def power_off(self, within: float = 30.0) -> None:
        """End every process of it, wait until they are gone, and remove its groups. Raises MachineFailed, OSError."""
        async with _bounded(within, f"{self.name}, with the control group {self.group.name}, did not end"):
            while mine := await self._mine():
                for process in mine:
                    kill(process)
                await gone(mine)
            while not self._ungrouped():
                await asyncio.sleep(0.02)

    async def open_way_in(self, listening: socket.socket) -> None:
        """Let connections to a socket of the host reach its gateway. Raises CommandError."""
        fd = listening.fileno()
        await self._start(*self.relays, str(fd), *GATEWAY, log=self.folder / "relay.log", pass_fds=(fd,))

    async def start_daemon(self) -> int:
        """Start its daemon, unless it runs; a pid that lives as long as it. Raises CommandError."""
        if found := await self.find(self.serves):
            return found.pid
        return await self._start(*self.serves, log=self.log)

    async def answers(self) -> bool:
        """Whether its daemon answers `GET /v1/version`."""
        try:
            async with asyncio.timeout(2):
                reader, writer = await asyncio.open_unix_connection(self.door)
                try:
                    writer.write(b"GET /v1/version HTTP/1.1\r\nHost: ployz\r\nConnection: close\r\n\r\n")
                    return (await reader.read()).split(b" ", 2)[1:2] == [b"200"]
                finally:
                    writer.close()
        except OSError:  # a time-out is one too
            return False

    async def wait_for_daemon(self, pid: int, within: float) -> None:
        """Wait until it answers. Raises MachineFailed, with the end of its log, when `pid` ended or time is up."""
        asked = asyncio.get_running_loop().time()
        while not await self.answers():
            late = asyncio.get_running_loop().time() - asked > within
            if late or not started(pid):
                why = f"did not answer within {within:g} seconds" if late else "ended"
                raise MachineFailed(f"ployzd on {self.name} {why}; its log ends:\n{_end_of(self.log)}")
            await asyncio.sleep(0.05)

    def _first(self) -> Seen | None:
        return next((each for each in seen(self.group.members()) if each.argv == self.holds), None)

    async def _mine(self) -> list[Seen]:
        """All processes in its group, and one that is on its way to make its namespaces."""
        members = seen(self.group.members())
        on_its_way = await self.find(self.holds)
        return [*members, on_its_way] if on_its_way else members

    def _ungrouped(self) -> bool:
        try:
            self.group.remove()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    async def _ready(self, first: Seen) -> None:
        """Give it a network, control groups and folders of its own; a mark in the last ends with the machine."""
        enter = _enter(first)
        for place in FRESH:
            if Path(place).is_dir() and not Path(place).is_symlink():
                await run(*enter, "mount", "-t", "tmpfs", "tmpfs", place)
        await run(*enter, "mkdir", "-p", "/run/lock", "/run/zfs", "/run/lock/zfs")
        self.group.settle()
        for hierarchy in self.group.hierarchies:
            await run(*enter, "umount", hierarchy.path)
            await run(*enter, *hierarchy.mounts)
        await run(*enter, "ip", "link", "set", "lo", "up")
        await run(*enter, "sysctl", "-e", "-q", "-w", *SETTINGS)
        await run(*enter, "touch", f"/{READY}")

    async def _start(self, *argv: str, log: Path, pass_fds: tuple[int, ...] = ()) -> int:
        holder = self.holder()
        if holder is None:
            raise MachineFailed(f"{self.name} does not run")
        doors = map(str, self.group.doors())
        words = (*PYTHON, "daemon.dev.join", *doors, "--", *_enter(holder), *argv)
        return await self._detach(*words, log=log, pass_fds=pass_fds)

    async def _detach(self, *argv: str, log: Path, pass_fds: tuple[int, ...] = ()) -> int:
        return await detach(*argv, log=log, environment={"PYTHONPATH": str(HOUSE)}, pass_fds=pass_fds)


def _enter(first: Seen) -> tuple[str, ...]:
    return ("nsenter", "--target", str(first.pid), "--mount", "--net", "--cgroup", "--pid", "--")


def _contains(argv: tuple[str, ...], words: tuple[str, ...]) -> bool:
    return any(argv[start : start + len(words)] == words for start in range(len(argv) - len(words) + 1))


def _end_of(log: Path, lines: int = 15) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


@asynccontextmanager
async def _bounded(within: float, otherwise: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(within):
            yield
    except TimeoutError:
        raise MachineFailed(f"{otherwise} within {within:g} seconds") from None
