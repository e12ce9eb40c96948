"""The engine's socket: every question goes through here, in a thread, and with a limit on its time."""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, NotFound

from runtime.instance import EngineProblem, EngineUnavailable

T = TypeVar("T")


class Absent(EngineProblem):
    """The engine itself says that what was asked for does not exist (404)."""


class Engine:
    """A Docker engine. `within` is seconds that it may take to answer, unless a question says otherwise."""

    def __init__(self, path: Path, *, within: float = 30.0, at_once: int = 16) -> None:
        self.socket, self.within = path, within
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="engine")
        self._clients: dict[float, docker.APIClient] = {}

    async def ask(self, cannot: str, question: Callable[[docker.APIClient], T], *, within: float | None = None) -> T:
        """What the engine answers. `cannot` begins the sentence of a problem: "cannot start web".

        Raises Absent for a 404, EngineUnavailable where it does not answer, EngineProblem for everything else.
        A cancelled question is waited for: its late effect would outlive its undo.
        """
        limit = within or self.within
        asked = asyncio.get_running_loop().run_in_executor(self._threads, self._answer, cannot, question, limit)
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            await asyncio.wait([asked])
            asked.exception()
            raise

    def close(self) -> None:
        """Close all connections; the engine itself goes on."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.close()

    def _answer(self, cannot: str, question: Callable[[docker.APIClient], T], within: float) -> T:
        try:
            self._require_listener()
            return question(self._client(within))
        except NotFound as error:
            raise Absent(f"{cannot}: {error.explanation or error}") from error
        except APIError as error:
            raise EngineProblem(f"{cannot}: {error.explanation or error}") from error
        except (requests.Timeout, TimeoutError) as error:
            raise EngineUnavailable(f"{cannot}: the engine did not answer within {within:g} seconds") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise EngineUnavailable(f"{cannot}: the engine at {self.socket} gave no whole answer: {error}") from error
        except (DockerException, ValueError) as error:
            raise EngineProblem(f"{cannot}: {error}") from error

    def _require_listener(self) -> None:
        """Raises OSError where nobody listens. The package would leave its socket open when it cannot connect."""
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(self.within)
            knock.connect(str(self.socket))

    def _client(self, within: float) -> docker.APIClient:
        if within not in self._clients:
            # Two may meet here; a lock would make the second wait for the first's whole limit.
            made = self._connected(within)
            if self._clients.setdefault(within, made) is not made:
                made.close()
        return self._clients[within]

    def _connected(self, within: float) -> docker.APIClient:
        try:
            return docker.APIClient(f"unix://{self.socket}", version="auto", timeout=within)  # type: ignore[arg-type]
        except DockerException as error:
            # The package wraps whatever went wrong while it asked for the version.
            raise requests.ConnectionError(str(error)) from error
