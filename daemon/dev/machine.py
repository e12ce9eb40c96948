"""One machine of a local cluster: its daemon, the way in to its gateway, and its place in the underlay.

It lives in an enclosure: its disk is that one's folder, and its plug is that one's first process.
"""

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path

from daemon.dev.enclosure import PYTHON, Enclosure, MachineFailed, Words, end_of
from daemon.dev.underlay import address_of
from dataplane.process import started

SETTINGS = ("net.ipv4.ip_forward=1", "net.ipv4.tcp_migrate_req=1", "net.bridge.bridge-nf-call-iptables=1")
READYING: tuple[Words, ...] = (("sysctl", "-e", "-q", "-w", *SETTINGS),)
GATEWAY = ("127.0.0.1", "80")


@dataclass(frozen=True)
class Machine:
    """What it lives in, and the program that is its daemon."""

    enclosure: Enclosure
    program: Words

    @property
    def name(self) -> str:
        return self.enclosure.name

    @property
    def address(self) -> str:
        """Where the other machines of its cluster reach it."""
        return address_of(self.name)

    @property
    def door(self) -> Path:
        return self.enclosure.folder / "ployzd.sock"

    @property
    def log(self) -> Path:
        return self.enclosure.folder / "ployzd.log"

    @property
    def serves(self) -> Words:
        """The words of its daemon."""
        folders = ("--data-dir", str(self.enclosure.folder / "data"), "--socket", str(self.door))
        return (*self.program, *folders, "--machine", self.name, "--engine", "managed", "--gateway-listen", ":80")

    @property
    def relays(self) -> Words:
        """The first words of its way in."""
        return (*PYTHON, "daemon.dev.relay", str(self.enclosure.folder))

    def is_paused(self) -> bool:
        """Whether everything in it is held still."""
        freezer = self.enclosure.freezer
        return freezer is not None and freezer.holds()

    async def open_way_in(self, listening: socket.socket) -> None:
        """Let connections to a socket of the host reach its gateway. Raises MachineFailed, CommandError."""
        fd, log = listening.fileno(), self.enclosure.folder / "relay.log"
        await self.enclosure.start(*self.relays, str(fd), *GATEWAY, log=log, pass_fds=(fd,))

    async def start_daemon(self) -> int:
        """Start its daemon, unless it runs; a pid that lives as long as it. Raises MachineFailed, CommandError."""
        if found := await self.enclosure.find(self.serves):
            return found.pid
        return await self.enclosure.start(*self.serves, log=self.log)

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
                raise MachineFailed(f"ployzd on {self.name} {why}; its log ends:\n{end_of(self.log)}")
            await asyncio.sleep(0.05)
