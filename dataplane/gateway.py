"""The gateway: Caddy, fed whole configurations over its admin socket; it keeps the last one across its restarts.

Routes point at virtual addresses, so it is only told when routes change, never for a flip: Caddy 2.11 closes a
connection unanswered that it accepts at the very instant of a load (1 in 8 loads at 900 requests a second).

Connections to instances are not kept alive: conntrack would pin an idle one to an instance that a flip has left.
"""

import asyncio
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from dataplane.process import Process
from runtime.command import CommandError, CommandMissing, run

ANSWERS_WITHIN = 10.0
"""Seconds until a Caddy just started has to answer."""
RETRIES = {"try_duration": "5s", "try_interval": "50ms"}
"""An instance that cannot be connected to has got nothing, so any request may be tried again: it may be starting."""
NOBODY = "There is nothing here: no service has this route.\n"


class GatewayProblem(CommandError):
    """The gateway does not run, or did not take what it was given."""


@dataclass(frozen=True)
class Route:
    """Requests for `host` whose path begins with `path` go to `to` (address:port)."""

    host: str
    path: str
    to: str

    @property
    def key(self) -> tuple[bool, str, int, str]:
        """Caddy takes the first that fits: a host of its own before `*.…`, the longer path before the shorter."""
        return self.host.startswith("*"), self.host, -len(self.path), self.path


@dataclass(frozen=True)
class Gateway:
    """Listens at `listen` (`:80`); `folder` holds its socket, its last configuration and its log."""

    listen: str
    folder: Path

    async def ensure(self) -> None:
        """Have it run, with the configuration that it had last."""
        self.folder.mkdir(parents=True, exist_ok=True)
        process = self.process
        if not process.running():
            self._socket.unlink(missing_ok=True)
            first = self.folder / "first.json"
            first.write_bytes(msgspec.json.encode(self.configuration(())))
        await process.ensure()
        try:
            async with asyncio.timeout(ANSWERS_WITHIN):
                while not await self._answers():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise GatewayProblem(f"the gateway does not start: {process.said(5)}") from None

    async def apply(self, routes: Sequence[Route]) -> None:
        """Have exactly these routes, and read them back. Nothing is loaded if it is so already.

        It is started again if it died: a flip must not wait for somebody to look after it.
        """
        if await self.holds(routes):
            return
        if not await self._answers():
            await self.ensure()
        wanted = self.configuration(routes)
        status, said = await self._ask("POST", "/load", msgspec.json.encode(wanted))
        if await self._loaded() != wanted:
            raise GatewayProblem(f"the gateway did not take its routes: {said or status}")

    async def check(self, routes: Sequence[Route]) -> None:
        """Have a second Caddy validate these routes, unless the first has them already."""
        if await self.holds(routes):
            return
        file = self.folder / "checked.json"
        file.write_bytes(msgspec.json.encode(self.configuration(routes)))
        try:
            await run(_program(), "validate", "--config", file)
        except CommandError as failed:
            raise GatewayProblem(f"the gateway would not take these routes: {failed}") from None

    async def holds(self, routes: Sequence[Route]) -> bool:
        """Whether it answers, and has exactly these routes."""
        return await self._answers() and await self._loaded() == self.configuration(routes)

    def configuration(self, routes: Sequence[Route]) -> dict[str, Any]:
        """Caddy's whole configuration. Always with the admin block: without it a rejected one would move the socket."""
        nobody = {"handle": [{"handler": "static_response", "status_code": 404, "body": NOBODY}]}
        server = {
            "listen": [self.listen],
            "automatic_https": {"disable": True},
            "routes": [*(_written(route) for route in sorted(routes, key=lambda route: route.key)), nobody],
        }
        return {
            "admin": {"listen": f"unix/{self._socket}"},
            "logging": {"logs": {"default": {"level": "WARN"}}},
            "apps": {"http": {"servers": {"ployz": server}}},
        }

    @property
    def _socket(self) -> Path:
        return self.folder / "admin.sock"

    @property
    def process(self) -> Process:
        words = (_program(), "run", "--resume", "--config", str(self.folder / "first.json"))
        homes = {"XDG_DATA_HOME": str(self.folder / "data"), "XDG_CONFIG_HOME": str(self.folder / "config")}
        return Process("caddy", words, self.folder, homes)

    async def _answers(self) -> bool:
        try:
            return await self._loaded() is not None
        except GatewayProblem:
            return False

    async def _loaded(self) -> dict[str, Any] | None:
        _, told = await self._ask("GET", "/config/")
        loaded: dict[str, Any] | None = msgspec.json.decode(told)
        return loaded

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        try:
            async with (
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self._socket))) as session,
                session.request(
                    method,
                    f"http://caddy{path}",
                    data=body,
                    headers={"Content-Type": "application/json"},
                    timeout=aiohttp.ClientTimeout(total=20),
                ) as answer,
            ):
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise GatewayProblem(f"the gateway's admin socket does not answer: {error}") from None


def _program() -> str:
    """A system's own Caddy if there is one, else the one installed beside our interpreter."""
    packaged = Path(sys.executable).parent / "caddy"
    found = shutil.which("caddy", path="/usr/local/bin:/usr/bin") or (str(packaged) if packaged.exists() else None)
    if not found:
        raise CommandMissing("caddy")
    return found


def _written(route: Route) -> dict[str, Any]:
    match: dict[str, Any] = {"host": [route.host]}
    if route.path:
        match["path"] = [route.path, f"{route.path}/*"]
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": route.to}],
        "transport": {"protocol": "http", "keep_alive": {"enabled": False}},
        "load_balancing": RETRIES,
        "flush_interval": -1,
    }
    return {"match": [match], "handle": [proxy]}
