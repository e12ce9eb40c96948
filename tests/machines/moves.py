"""A database that moves between real machines while rows are written: where it is, what is left, and who is killed.

As a program, in the sandbox: `dev/sandbox .venv/bin/python -m tests.machines.moves [FIRST [EVERY [VICTIM…]]]` moves it
again and again on three machines of its own, and kills each of the victims (all of them, if none is named) at another
event of the journal each time: the FIRST, then each so many after that, until a move is over before.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count, cycle
from pathlib import Path
from typing import Any

from daemon.transferring import PORT
from tests.machine.clients import Written, writing
from tests.machine.cluster import IMAGES, Cluster, scratch, wait_until
from tests.machine.cutting import Told, kill_when, lines, reaches, says, standing_still_when, wait_for
from tests.machine.manifests import demo
from tests.machine.watcher import Watch
from tests.machines.remains import require_nothing_left

SHOP = "shop.localhost"
MACHINES = ("m1", "m2", "m3")
PLACED = demo(1).replace("[services.db]", '[services.db]\nplace = { machine = "m1" }')
DAEMONS, PROGRAMS = ("coordinator", "source", "target"), ("send", "receive")
PLUG = "plug"
VICTIMS = (*DAEMONS, "client", PLUG, *PROGRAMS)
"""Whom it may hit: the daemon that coordinates, those of both ends, `ployzctl`, the whole machine that is moved to, the
programs that move the bytes."""
BULK = (
    "INSERT INTO rows (by) SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 80000) n GROUP BY n / 20"
)
RATE = "8MiB/s"
"""What is added to the database and how fast it goes, where a stream is to take long enough to be hit."""
SOON = 30.0
"""Seconds within which a database is served where it was, once the machine is gone that it was to move to."""
PAUSE = 0.02
"""Seconds that whoever wrote a row waits: so there is always one on its way, and machines do more than that."""


@contextmanager
def placed(many: Cluster) -> Iterator[Cluster]:
    """The demo, with its database on m1. What its images have in common is everywhere, for a move is waited for."""
    many.done("image", "distribute", "ployz-demo/web:1", within=300.0)
    many.deployed(PLACED)
    yield many
    many.done("namespace", "rm", "shop", "--purge", "--yes")
    there = [many.on(name).machine / "data" / "volumes" / "shop" for name in MACHINES]
    assert [folder for folder in there if folder.exists()] == []


def where(shop: Cluster) -> str:
    """The machine that the database is on, and that it is on alone."""
    [row] = [row for row in shop.done("ps", "shop")["instances"] if row["service"] == "db"]
    assert row["state"] == "running"
    has = [name for name in MACHINES if "shop-db-" in shop.on(name).docker("ps", "--format", "{{.Names}}")]
    assert has == [row["machine"]]
    return has[0]


def another(source: str, *names: str) -> str:
    """One of these machines, and not that one."""
    return next(name for name in names if name != source)


def sql(shop: Cluster, statement: str) -> str:
    """What the database answers, wherever it is."""
    there = shop.on(where(shop))
    return there.docker("exec", there.database(), "psql", "-U", "shop", "-Atqc", statement)


SIGNS = """
CREATE FUNCTION signs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  NEW.by := (regexp_match(pg_read_file('/proc/self/mountinfo'), '(ployz-[^ /]+/ployz/shop/data/[^ ]+)'))[1];
  RETURN NEW;
END $$;
CREATE TRIGGER signs BEFORE INSERT ON rows FOR EACH ROW EXECUTE FUNCTION signs()
"""


@contextmanager
def signed(shop: Cluster) -> Iterator[None]:
    """Meanwhile each row says which generation it was written to, as the database's own process has it mounted."""
    sql(shop, SIGNS)
    try:
        yield
    finally:
        sql(shop, "DROP TRIGGER signs ON rows; DROP FUNCTION signs")


@contextmanager
def written_to(shop: Cluster) -> Iterator[Written]:
    """Meanwhile rows are added by two people; each that was acknowledged is there afterwards, once."""
    with writing(shop.url, SHOP, 2, PAUSE) as told:
        wait_until(lambda: len(told.acknowledged) > 10, "rows are written")
        yield told
        before = len(told.acknowledged)
        wait_until(lambda: len(told.acknowledged) > before + 10, "rows are written still")
    rows = shop.on(where(shop)).rows()
    assert dict(rows).items() >= told.acknowledged.items()
    times = Counter(word for _, word in rows)
    assert {word: times[word] for word in told.acknowledged.values() if times[word] != 1} == {}


def present(shop: Cluster) -> str:
    """The dataset that the volume's name points at just now."""
    [row] = shop.done("volume", "ls", "shop")["volumes"]
    return f"ployz-{row['machine']}/ployz/shop/data/{row['generation']}"


def generations(shop: Cluster, machine: str) -> list[str]:
    """The generations of the volume on a machine, without what is before their names."""
    names = [name for name in shop.on(machine).datasets() if "/shop/data/" in name and "@" not in name]
    return [name.rpartition("/")[2] for name in names]


def datasets(shop: Cluster) -> dict[str, list[str]]:
    """Every dataset and snapshot of each machine."""
    return {name: shop.on(name).datasets() for name in MACHINES}


def moved(shop: Cluster, target: str, when: Told, happens: Callable[[], object]) -> Any:
    """Have the database moved; while who coordinates stands still at `when`, something happens. The answer."""
    operation = f"op-meet-{secrets.token_hex(3)}"
    with shop.begin("--json", "migrate", "apply", "shop/db", "--to", target, "--op-id", operation) as moving:
        with standing_still_when(shop.journal(operation), when, shop.daemon()):
            happens()
        out, _ = moving.communicate(timeout=240)
    return json.loads(out)


# ------------------------------------------------------------------------------------- what is cut, and who is killed

CUT = "table inet cut { chain input { type filter hook input priority -300; tcp dport %d reject with tcp reset; }; }"


@contextmanager
def cut_off(there: Cluster) -> Iterator[None]:
    """Meanwhile no data of other machines comes to this one: whoever sends some is told so."""
    there.inside("nft", CUT % PORT)
    try:
        yield
    finally:
        there.inside("nft", "delete table inet cut")


def program(shop: Cluster, machine: str, what: str) -> int | None:
    """The `zfs send` or `zfs receive` of the volume on a machine, if there is one just now."""
    try:
        return shop.process(f"zfs {what}", f"ployz-{machine}/ployz/shop/data")
    except LookupError:
        return None


def struck(shop: Cluster, machine: str, what: str) -> bool:
    """Whether there was such a program, which is killed now; a short stream may have ended meanwhile."""
    if pid := program(shop, machine, what):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def killed(shop: Cluster, target: str, victim: str, when: Told) -> Any:
    """Have the database moved, kill the victim as soon as `when` holds of the journal, and start what is down; then the
    same is asked again. What that answers; None if there was nobody to kill any more."""
    operation, source = f"op-kill-{secrets.token_hex(3)}", where(shop)
    words = ("migrate", "apply", "shop/db", "--to", target, "--rate", RATE, "--op-id", operation)
    journal = shop.journal(operation)
    if victim in PROGRAMS:
        sql(shop, BULK)
    with written_to(shop), Watch(shop, MACHINES) as watch:
        wait_until(lambda: bool(watch.writers.seen), "the writer is seen")
        with shop.begin("--json", *words) as moving:
            if victim in PROGRAMS:
                hit = _strike(shop, source if victim == "send" else target, victim, journal, when)
            else:
                hit = kill_when(journal, when, _who(shop, victim, source, target) or moving.pid)
            if victim == PLUG and target != shop.at and not says('"committing"')(lines(journal)):
                _serves_soon(shop.on(source), target)
            moving.communicate(timeout=240)
        shop.up()
        shop.settled()
        now = present(shop)
        wait_until(lambda: now in watch.writers.seen, "whoever writes now is seen")
    assert watch.writers.together == []
    assert watch.acknowledged <= dict(shop.on(where(shop)).rows()).keys()
    told = shop.ctl(*words).json
    ended = json.loads(lines(journal)[-1])
    assert told == (ended["answer"] or ended["failure"])
    assert told["ok"] or told["error"]["state"] == "taken_back", told
    assert where(shop) == (target if told["ok"] else source)
    there = any(operation in name for name in generations(shop, target))
    assert there == told["ok"], "the new generation is there if it is done, and else gone"
    require_nothing_left(shop, "shop", MACHINES)
    return told if hit else None


def _serves_soon(source: Cluster, target: str) -> None:
    """Whoever waits for it does not wait for the machine that is gone."""
    began = time.monotonic()
    wait_until(partial(takes_rows, source), f"{source.at} serves while {target} is gone", within=SOON)
    print(f"{source.at} served {time.monotonic() - began:.1f} s after {target} was gone", flush=True)


def takes_rows(there: Cluster) -> bool:
    """Whether the database runs on this machine, and writes."""
    try:
        there.docker(
            "exec", there.database(), "psql", "-U", "shop", "-qc", "INSERT INTO rows (by) VALUES ('meanwhile')"
        )
    except (subprocess.CalledProcessError, ValueError):
        return False
    return True


def _who(shop: Cluster, victim: str, source: str, target: str) -> int | None:
    """The pid of a daemon, or of what holds a whole machine; None for who is no part of a machine."""
    at = {"coordinator": shop.at, "source": source}.get(victim, target)
    if victim == PLUG:
        return shop.on(at).holder()
    return shop.on(at).daemon() if victim in DAEMONS else None


def _strike(shop: Cluster, machine: str, what: str, journal: Path, when: Told) -> bool:
    """Kill the first such program that runs once `when` holds; False if none does before the operation is over."""
    if not wait_for(journal, when):
        return False
    while not (hit := struck(shop, machine, what)) and not lines(journal)[-1].startswith('{"answer":'):
        time.sleep(0.002)
    return hit


def at_every_event(shop: Cluster, first: int, every: int, victims: Sequence[str]) -> None:
    """Until the move is over before; of programs, until none runs any more. All machines in turn are moved to, so that
    who coordinates is a source, a target, or neither."""
    left, endings, turn = [*victims], Counter[str](), cycle(MACHINES)
    for at in count(first, every):
        for victim in [*left]:
            source = where(shop)
            target = next(name for name in turn if name != source)
            if not (told := killed(shop, target, victim, reaches(at))):
                left.remove(victim)
                continue
            ending = f"{victim}: {'done' if told['ok'] else 'taken back'}"
            endings[ending] += 1
            print(f"killed at event {at}: {ending}", flush=True)
        if not left:
            break
    print(f"in all: {', '.join(f'{ending} {times} times' for ending, times in sorted(endings.items()))}")


@contextmanager
def three(name: str) -> Iterator[Cluster]:
    """The demo on three machines, for a program of the tests."""
    with scratch(name) as made:
        made.up(3)
        subprocess.run([IMAGES, "load", made.engine], check=True, capture_output=True)
        made.deployed(PLACED)
        yield made


def main(first: str = "1", every: str = "1", *victims: str) -> None:
    with three("moves") as shop:
        at_every_event(shop, int(first), int(every), victims or VICTIMS)


if __name__ == "__main__":
    main(*sys.argv[1:])
