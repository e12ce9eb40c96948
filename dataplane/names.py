"""Names inside the cluster: dnsmasq on the bridge's address, with a file of addresses for each namespace."""

import asyncio
import os
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dataplane.process import Process
from runtime.command import CommandError

NOTHING, NO_SUCH_NAME = 0, 3
"""Response codes of RFC 1035: a name without an address, no such name."""
LOST = 0.5
"""Seconds after which a question counts as lost, and is asked again: datagrams are."""


class NamesProblem(CommandError):
    """The name server does not answer, or not what it was given."""


@dataclass(frozen=True)
class Names:
    """The name server of `zone` at `address`, the bridge's. `folder` holds its files and its log.

    Names are `<service>.<namespace>.<zone>`. Others are asked of the servers in the file `resolvers`, or, where
    there are none, refused at once. Each verb raises CommandError or one of its kinds; `within` is seconds.
    """

    address: str
    zone: str
    folder: Path
    resolvers: Path = Path("/etc/resolv.conf")
    within: float = 5.0

    @property
    def hosts(self) -> Path:
        return self.folder / "hosts"

    @property
    def process(self) -> Process:
        fresh = ("--local-ttl=1", "--neg-ttl=1", "--cache-size=0")
        place = (
            f"--listen-address={self.address}",
            "--bind-dynamic",
            "--user=root",
            "--pid-file=",
            "--log-facility=-",
        )
        zone = (f"--local=/{self.zone}/", f"--hostsdir={self.hosts}", "--no-hosts", f"--resolv-file={self.resolvers}")
        return Process("dnsmasq", ("dnsmasq", "-k", "--conf-file=/dev/null", *zone, *place, *fresh), self.folder)

    async def ensure(self) -> None:
        """Adopt or start it, and wait until it answers."""
        self.hosts.mkdir(parents=True, exist_ok=True)
        await self.process.displace(f"--hostsdir={self.hosts}")  # at the address that the machine had before
        await self.process.ensure()
        try:
            async with asyncio.timeout(self.within):
                while not await self._answers():
                    self.process.require_alive()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise NamesProblem(f"the name server does not listen on {self.address}: {self.process.said()}") from None

    async def apply(self, hosts: Mapping[str, str]) -> None:
        """Have it answer exactly these: full name → address. It is started again if it died."""
        if not await self._answers():
            await self.ensure()
        await self._until(self._write(self._by_namespace(hosts)))

    async def ask(self, name: str) -> str | None:
        """The address that it answers; None where it knows of none."""
        return await resolve(name, self.address, self.within)

    def _by_namespace(self, hosts: Mapping[str, str]) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for name, address in hosts.items():
            namespace = name.removesuffix(f".{self.zone}").rpartition(".")[2]
            found.setdefault(namespace, {})[name] = address
        return found

    async def _answers(self) -> bool:
        try:
            await resolve(f"nothing.{self.zone}", self.address, self.within)
        except ConnectionRefusedError:
            return False
        return True

    def _write(self, hosts: Mapping[str, Mapping[str, str]]) -> dict[str, str | None]:
        """Make the files so, each at one instant, and return what has to be answered differently now.

        A file of its own for each namespace: a change of one has the server read nothing of the others again.
        """
        found = {path.name: _names_in(path) for path in self.hosts.iterdir()}
        changed: dict[str, str | None] = {}
        for namespace in found.keys() - hosts.keys():
            changed |= dict.fromkeys(found[namespace])
            (self.hosts / namespace).unlink()
        for namespace, names in hosts.items():
            before = found.get(namespace, {})
            if before != names:
                changed |= {**dict.fromkeys(before), **names}
                self._replace(namespace, names)
        return changed

    def _replace(self, namespace: str, names: Mapping[str, str]) -> None:
        made = self.folder / f"{namespace}.new"
        made.write_text("".join(f"{address} {name}\n" for name, address in sorted(names.items())))
        made.chmod(0o644)
        os.replace(made, self.hosts / namespace)

    async def _until(self, answers: Mapping[str, str | None]) -> None:
        """Wait until it answers so: it notices a changed file by itself, some milliseconds later."""
        missing: dict[str, str | None] = dict(answers)
        try:
            async with asyncio.timeout(self.within):
                while missing:
                    missing = {name: address for name, address in missing.items() if await self.ask(name) != address}
                    await asyncio.sleep(0.005 if missing else 0)
        except TimeoutError:
            raise NamesProblem(f"the name server does not answer {_said(missing)}: {self.process.said()}") from None


async def resolve(name: str, server: str, within: float) -> str | None:
    """Ask a name server for a name's IPv4 address; None if it has none.

    Raises NamesProblem if it cannot tell or does not answer within so many seconds, ConnectionRefusedError if
    none is running.
    """
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        try:
            sock.connect((server, 53))
            async with asyncio.timeout(within):
                while True:
                    await loop.sock_sendall(sock, _question(name))
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOST):
                            return _address(name, await loop.sock_recv(sock, 4096))
        except TimeoutError:
            raise NamesProblem(f"the name server {server} did not answer within {within:g} seconds") from None
        except ConnectionRefusedError:
            raise
        except OSError as error:
            raise NamesProblem(f"the name server {server} cannot be reached: {error.strerror}") from None


def _question(name: str) -> bytes:
    """A query for the A record of a name (RFC 1035, section 4), recursion desired."""
    labels = b"".join(struct.pack("B", len(label)) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!B2H", 0, 1, 1)


def _address(name: str, answer: bytes) -> str | None:
    """The address in an answer. Its first record begins after the question, with a pointer of two bytes to the name."""
    _, flags, _, records, _, _ = struct.unpack_from("!6H", answer)
    if flags & 0xF not in (NOTHING, NO_SUCH_NAME):
        raise NamesProblem(f"the name server cannot tell the address of {name}: response code {flags & 0xF}")
    if not records:
        return None
    kind, _, _, length = struct.unpack_from("!2HIH", answer, len(_question(name)) + 2)
    start = len(_question(name)) + 12
    if (kind, length) != (1, 4):
        raise NamesProblem(f"the name server answered {name} with a record of type {kind}")
    return socket.inet_ntoa(answer[start : start + length])


def _names_in(path: Path) -> dict[str, str]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return {name: address for address, name in pairs}


def _said(missing: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} with {address or 'no address'}" for name, address in sorted(missing.items()))
