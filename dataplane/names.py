"""Names inside instances: dnsmasq on the machine's bridge address, told by one file that is replaced as a whole."""

import asyncio
import os
import random
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dataplane.process import Process

SEEN_WITHIN = 5.0
"""Seconds until dnsmasq has to answer as it was told; it sees a changed file after 10 to 200 milliseconds."""

ANSWER, A, IN = 0x8000, 1, 1


class NamesProblem(Exception):
    """The name server does not run, or does not answer as it was told."""


@dataclass(frozen=True)
class Names:
    """The name server of `zone` at `address`. `folder` holds its hosts file and its log."""

    address: str
    zone: str
    folder: Path

    async def ensure(self) -> None:
        """Have it run and answer."""
        self._hosts.parent.mkdir(parents=True, exist_ok=True)
        await self._process.ensure()
        await self._see({})

    async def apply(self, hosts: Mapping[str, str]) -> None:
        """Tell it these names, name → address, and no others; and ask it until it answers so."""
        before = self.read()
        if before == dict(hosts):
            return
        fresh = self.folder / "hosts.new"
        fresh.write_text("".join(f"{address} {name}\n" for name, address in sorted(hosts.items())))
        os.replace(fresh, self._hosts)
        gone = {name: None for name in before if name not in hosts}
        changed = {name: address for name, address in hosts.items() if before.get(name) != address}
        await self._see({**gone, **changed})

    def read(self) -> dict[str, str]:
        """What it was told last."""
        try:
            lines = self._hosts.read_text().splitlines()
        except FileNotFoundError:
            return {}
        return {name: address for address, name in (line.split() for line in lines)}

    async def ask(self, name: str) -> str | None:
        """The address of a name as the server tells it now; None if it says that there is none."""
        return await asyncio.to_thread(_ask, self.address, name)

    @property
    def _hosts(self) -> Path:
        return self.folder / "hosts" / "ployz"

    @property
    def _process(self) -> Process:
        words = (
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--bind-dynamic"),
            *(f"--listen-address={self.address}", f"--local=/{self.zone}/", f"--hostsdir={self._hosts.parent}"),
            *("--local-ttl=1", "--neg-ttl=1", "--cache-size=0", "--pid-file", "--user=root"),
        )
        return Process("dnsmasq", words, self.folder)

    async def _see(self, wanted: Mapping[str, str | None]) -> None:
        """Wait until it answers each of these so; with none, until it answers at all."""
        wrong, said = dict(wanted) or {f"nobody.{self.zone}": None}, ""
        try:
            async with asyncio.timeout(SEEN_WITHIN):
                while wrong:
                    name, address = next(iter(wrong.items()))
                    try:
                        if (told := await self.ask(name)) == address:
                            del wrong[name]
                            continue
                        said = f"it answers {told or 'that there is none'}"
                    except OSError as error:
                        said = f"it does not answer: {error}"
                    await asyncio.sleep(0.01)
        except TimeoutError:
            name, address = next(iter(wrong.items()))
            why = f"asked for {name}, which is {address or 'gone'}, {said}; {self._process.said(3)}"
            raise NamesProblem(f"the name server at {self.address} is not as it was told: {why}") from None


def _ask(server: str, name: str, within: float = 1.0) -> str | None:
    """One question for an A record over UDP (RFC 1035, section 4)."""
    id = random.getrandbits(16)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = struct.pack("!6H", id, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", A, IN)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(within)
        line.connect((server, 53))
        line.send(question)
        told = line.recv(512)
    got, flags, _, answers = struct.unpack("!4H", told[:8])
    if got != id or not flags & ANSWER:
        raise OSError(f"what came back from {server} is no answer")
    return socket.inet_ntoa(told[-4:]) if answers else None
