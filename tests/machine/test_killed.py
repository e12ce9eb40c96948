"""`kill -9` of ployzd at every event of a deploy and of a rollback: it ends as before or as after, and nothing is left.

The operation replaces both services and moves the volume. What is checked is seen from outside. A cut operation
that is asked for again, with its id, has the ending that it had. Some of the daemons that recover are killed too.
"""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from tests.machine.cluster import DEMO, Cluster, wait_until
from tests.machine.cutting import kill_at, lines
from tests.machine.explained import explained

EVERY = int(os.environ.get("PLOYZ_CUT_EVERY", "5"))
"""Which events are cut at: `PLOYZ_CUT_EVERY=1` cuts at all of them, in about ten minutes; a fifth take two."""

AGAIN = {0: 1, 1: 4, 3: 9}
"""By the remainder of the line's number by four: how many lines later the daemon that recovers is killed too."""


@dataclass(frozen=True)
class State:
    """What a user has: the version that answers, the rows, the number of the deploy."""

    version: str
    rows: tuple[int, ...]
    deploy: int


def seen(cluster: Cluster) -> State:
    [head] = [one for one in cluster.done("status")["namespaces"] if one["name"] == "shop"]
    return State(cluster.get("/version"), tuple(id for id, _ in cluster.rows()), head["deploy"])


def cut(cluster: Cluster, words: tuple[str, ...], at: int, again: int | None = None) -> bool:
    """Run the words, kill the daemon at line `at` of the journal, start it again, and wait until nothing is open.

    With `again` the daemon that recovers is killed too, that many lines later. False if it was over before `at`.
    """
    journal, daemon = cluster.journal(words[-1]), cluster.daemon()
    with cluster.begin("--json", *words) as client:
        killed = kill_at(journal, at, daemon)
        client.communicate(timeout=60)
    if killed and again:
        later = len(lines(journal)) + again
        with cluster.begin("dev", "up", "--name", cluster.name) as starting:
            wait_until(cluster.daemon_runs, "ployzd runs again")
            kill_at(journal, later, cluster.daemon())
            starting.communicate(timeout=60)
    if killed:
        cluster.start_daemon()
        cluster.settled()
    return killed


def committed(cluster: Cluster, operation: str) -> bool:
    return any('"kind":"committed"' in line for line in lines(cluster.journal(operation)))


def check(cluster: Cluster, words: tuple[str, ...], state: State) -> None:
    """It is `state`, everything is explained, and the same command again has the ending that the journal tells."""
    assert seen(cluster) == state
    explained(cluster)
    ran = cluster.ctl(*words)
    told = json.loads(lines(cluster.journal(words[-1]))[-1])
    assert ran.code == (0 if committed(cluster, words[-1]) else 4), ran.out
    assert ran.json == (told["answer"] or told["failure"])


def new_version(file: Path, version: str) -> tuple[str, ...]:
    """A manifest of the demo whose services are both of a new version; how to deploy it."""
    text = (DEMO / "shop-1.toml").read_text()
    for image in ("db", "web"):
        line = f'image = "ployz-demo/{image}:1"'
        assert line in text
        text = text.replace(line, f'{line}\nenv = {{ VERSION = "{version}" }}')
    file.write_text(text)
    return ("deploy", "-f", str(file), "--op-id", f"cut-{secrets.token_hex(4)}")


def rollback() -> tuple[str, ...]:
    return ("rollback", "shop", "--op-id", f"cut-{secrets.token_hex(4)}")


def story(cluster: Cluster, operation: str) -> str:
    """The journal without its heading, to be shown where something is wrong."""
    return "\n".join(lines(cluster.journal(operation))[1:])


@contextmanager
def telling(cluster: Cluster, words: tuple[str, ...], at: int) -> Iterator[None]:
    """Whatever goes wrong, say where the operation was cut, and what its journal says."""
    try:
        yield
    except (AssertionError, OSError) as wrong:
        raise AssertionError(f"{words[0]}, cut at line {at}: {wrong}\n{story(cluster, words[-1])}") from wrong


def test_a_deploy_is_killed_at_its_events(shop: Cluster, tmp_path: Path) -> None:
    state = seen(shop)
    for at in count(1, EVERY):
        before = replace(state, rows=(*state.rows, shop.write_row()))
        words = new_version(tmp_path / "shop.toml", f"cut{at}")
        with telling(shop, words, at):
            killed = cut(shop, words, at, again=AGAIN.get(at % 4))
            done = committed(shop, words[-1])
            state = State(f"cut{at}", before.rows, before.deploy + 1) if done else before
            check(shop, words, state)
        if not killed:
            break
    assert at > 25


def test_a_rollback_is_killed_at_its_events(shop: Cluster, tmp_path: Path) -> None:
    there = seen(shop)
    shop.done(*new_version(tmp_path / "shop.toml", "other"))
    state = replace(there, version="other", deploy=there.deploy + 1)
    for at in count(2, EVERY):
        here = replace(state, rows=(*state.rows, shop.write_row()))
        words = rollback()
        with telling(shop, words, at):
            killed = cut(shop, words, at, again=AGAIN.get(at % 4))
            done = committed(shop, words[-1])
            state = replace(there, deploy=here.deploy + 1) if done else here
            check(shop, words, state)
        there = here if done else there
        if not killed:
            break
    assert at > 25
