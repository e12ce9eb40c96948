"""Every machine of five is removed in turn, and a fresh one comes, under three databases: all of their data is there.

A command of its own, for it takes minutes: `dev/sandbox .venv/bin/python -m tests.machines.rounds [ROUNDS]`.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.machine.cluster import IMAGES, Cluster
from tests.machine.manifests import demo
from tests.machines.members import machines
from tests.machines.test_five import ALL, all_know, dev, leave

NAMES = ("red", "green", "blue")


def database(name: str, version: int, machine: str) -> str:
    """The demo's PostgreSQL alone, on one machine; with another version it is another deploy."""
    before, _, after = demo(1).partition("[services.web]")
    more = f'[services.db]\nenv = {{ VERSION = "{version}" }}\nplace = {{ machine = "{machine}" }}'
    named = before.replace('namespace = "shop"', f'namespace = "{name}"').replace("[services.db]", more)
    return f"{named}[volumes.data]{after.partition('[volumes.data]')[2]}"


def sql(five: Cluster, name: str, statement: str) -> list[str]:
    ran = five.plain("exec", f"{name}/db", "--", "psql", "-U", "shop", "-Atqc", statement)
    assert ran.code == 0, ran.err
    return ran.out.split()


def written(five: Cluster, name: str, line: str) -> None:
    """A row that was acknowledged."""
    sql(five, name, f"INSERT INTO rows (by) VALUES ('{line}')")


def lines(five: Cluster, name: str) -> list[str]:
    return sql(five, name, "SELECT by FROM rows ORDER BY id")


def where(five: Cluster) -> dict[str, str]:
    return {row["namespace"]: row["machine"] for row in five.done("volume", "ls")["volumes"]}


def begun(five: Cluster) -> None:
    """Each has a deploy point whose data is its first line."""
    for name, machine in zip(NAMES, ALL, strict=False):
        five.deployed(database(name, 1, machine))
        written(five, name, "first")
        five.deployed(database(name, 2, machine))


def fresh(five: Cluster, machine: str) -> None:
    """A machine comes that has nothing but the name of one that left: its disk is new."""
    dev(five, "kill", machine)
    shutil.rmtree(five.on(machine).machine / "data")
    five.up()


def gone_round(five: Cluster, number: int) -> None:
    """Each machine leaves, whichever has what, and a fresh one comes; a line is written with each that is away."""
    for machine in ALL:
        began, before = time.monotonic(), where(five)
        asked = five.on("m2" if machine == "m1" else "m1")
        leave(five, machine, asked.at)
        for name in NAMES:
            written(asked, name, f"{number}-without-{machine}")
        now = where(asked)
        assert machine not in now.values()
        fresh(five, machine)
        all_know(five)
        print(f"round {number}: {machine} was away: {before} then {now}, {time.monotonic() - began:.0f} s", flush=True)


def main(rounds: int) -> None:
    root = Path(tempfile.mkdtemp(prefix="pz", dir="/var/tmp"))
    five = Cluster(root, "rounds")
    try:
        five.up(5)
        subprocess.run([IMAGES, "load", five.engine], check=True, capture_output=True)
        begun(five)
        wanted = ["first"]
        for number in range(rounds):
            gone_round(five, number)
            wanted += [f"{number}-without-{machine}" for machine in ALL]
            assert {name: lines(five, name) for name in NAMES} == dict.fromkeys(NAMES, wanted)
        for name in NAMES:
            five.done("rollback", name, "--to", "1")
            assert lines(five, name) == ["first"]
            five.done("rollback", name)
            assert lines(five, name) == wanted
        assert [*machines(five)] == list(ALL)
        print(f"after {rounds} rounds all data is there, and the first deploy points too")
    finally:
        five.plain("dev", "down", "--name", five.name)
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1)
