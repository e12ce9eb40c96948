"""People who use the shop while it is changed: one adds rows, others look which version answers them."""

import http.client
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

WITHIN = 5.0
"""Seconds that a request has."""


class Unwell(Exception):
    """It answered, but not with what was asked for."""


def ask(url: str, host: str, method: str, path: str, body: str = "") -> str:
    """The answer's text. Raises OSError, HTTPException, Unwell for another status than 200."""
    place = urlsplit(url)
    assert place.hostname
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=WITHIN)
    try:
        connection.request(method, path, body.encode(), {"Host": host})
        answer = connection.getresponse()
        text = answer.read().decode().strip()
    finally:
        connection.close()
    if answer.status != 200:
        raise Unwell(f"{answer.status} {text}")
    return text


@contextmanager
def asking(once: Callable[[int], None], failures: list[str], count: int) -> Iterator[None]:
    """Meanwhile `count` threads do `once`, each with its number, on and on; what failed is added to `failures`."""
    over = threading.Event()

    def on_and_on(number: int) -> None:
        while not over.is_set():
            try:
                once(number)
            except (OSError, http.client.HTTPException, Unwell) as failure:
                failures.append(repr(failure))
                over.wait(0.05)  # as a client does before it tries again

    threads = [threading.Thread(target=on_and_on, args=(at,)) for at in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@dataclass
class Written:
    """`acknowledged` maps ids that the shop told to the words that it was asked to keep under them."""

    acknowledged: dict[int, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


@contextmanager
def writing(url: str, host: str, count: int = 1, pause: float = 0.0) -> Iterator[Written]:
    """Meanwhile rows are added, by so many people, each of whom waits so many seconds after a row."""
    told, nobody_else = Written(), secrets.token_hex(4)
    numbers = itertools.count()

    def once(_number: int) -> None:
        # Another one for each try: nobody knows what became of one without an answer.
        word = f"row {next(numbers)} of {nobody_else}"
        id = int(ask(url, host, "POST", "/rows", word))
        assert id not in told.acknowledged, f"two rows were told to be {id}"
        told.acknowledged[id] = word
        time.sleep(pause)

    with asking(once, told.failures, count):
        yield told


@dataclass
class Watched:
    """`seen` are the versions that answered each thread, in order, repetitions left out."""

    seen: dict[int, list[str]] = field(default_factory=dict)
    requests: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def watching(url: str, host: str, count: int = 1) -> Iterator[Watched]:
    """Meanwhile it is looked which version answers."""
    told = Watched()

    def once(number: int) -> None:
        version = ask(url, host, "GET", "/version")
        told.requests += 1
        seen = told.seen.setdefault(number, [])
        if seen[-1:] != [version]:
            seen.append(version)

    with asking(once, told.failures, count):
        yield told
