"""People who use the shop while it is changed: one adds rows, others look which version answers them."""

import http.client
import itertools
import secrets
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


@dataclass
class Clients:
    """While entered, `count` threads ask on and on. A request has `within` seconds."""

    url: str
    host: str
    count: int = 1
    within: float = 5.0
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on, args=(at,)) for at in range(self.count)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self, number: int) -> None:
        while not self._over.is_set():
            try:
                self.once(number)
            except (OSError, http.client.HTTPException, Unwell) as failure:
                self.failures.append(repr(failure))
                self._over.wait(0.05)  # as a client does before it tries again

    def once(self, number: int) -> None:
        raise NotImplementedError

    def ask(self, method: str, path: str, body: str = "") -> str:
        """The answer's text. Raises OSError, HTTPException, Unwell for another status than 200."""
        place = urlsplit(self.url)
        assert place.hostname
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=self.within)
        try:
            connection.request(method, path, body.encode(), {"Host": self.host})
            answer = connection.getresponse()
            text = answer.read().decode().strip()
        finally:
            connection.close()
        if answer.status != 200:
            raise Unwell(f"{answer.status} {text}")
        return text


class Unwell(Exception):
    """It answered, but not with what was asked for."""


@dataclass
class Writer(Clients):
    """Adds rows. `acknowledged` maps ids that the shop told to the words that it was asked to keep under them."""

    acknowledged: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        nobody_else = secrets.token_hex(4)
        self._words = (f"row {number} of {nobody_else}" for number in itertools.count())

    def once(self, number: int) -> None:
        word = next(self._words)  # another one for each try: nobody knows what became of one without an answer
        id = int(self.ask("POST", "/rows", word))
        assert id not in self.acknowledged, f"two rows were told to be {id}"
        self.acknowledged[id] = word


@dataclass
class Watcher(Clients):
    """Looks which version answers; `seen` are the answers of each thread, in order, repetitions left out."""

    seen: dict[int, list[str]] = field(default_factory=dict)
    requests: int = 0

    def once(self, number: int) -> None:
        version = self.ask("GET", "/version")
        self.requests += 1
        seen = self.seen.setdefault(number, [])
        if seen[-1:] != [version]:
            seen.append(version)
