"""The machine that a volume is moved from loses its power at any moment of the move: nothing that had come is lost.

A command of its own, for a machine that does not answer is waited for, at each step anew:
`dev/sandbox .venv/bin/python -m tests.machines.lost [FIRST [EVERY]]` pulls the plug at another line of the journal each
time: the FIRST (1), then each so many (7) after that, until a move is over before. With `source` instead, the machine
that is lost has seen to the move itself, and what it had begun is resolved by the one that it was to move to.
"""

import json
import secrets
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from tests.machine.cluster import Cluster, wait_until
from tests.machine.cutting import Told, kill_at, kill_when, lines, says
from tests.machines.members import ELECTED, acknowledged, is_alone, machines
from tests.machines.test_five import DATA, all_forgotten, come, data, knows, written
from tests.machines.test_five import lines as written_lines

ALL = ("m1", "m2", "m3")
SOURCE, TARGET = "m3", "m2"
ALL_CAME, COMMITS = says('"done"', "send the last of"), says('"committing"')
"""When the machine is lost, of which the other one then has all."""


def lost_at(three: Cluster, line: int) -> bool:
    """Whether it was lost before the move was over. Whatever comes of that, what was asked to be written is there if it
    had been sent, nothing waits any more, and the service runs on what there is."""
    operation = f"op-lost-{secrets.token_hex(3)}"
    three.deployed((DATA % 1000).replace('"m4"', f'"{SOURCE}"'))
    written(three, "first")
    words = ("--json", "migrate", "apply", "data/one", "--to", TARGET, "--op-id", operation)
    with three.begin(*words) as moving:
        cut = kill_at(three.journal(operation), line, three.on(SOURCE).holder())
        out, _ = moving.communicate(timeout=400)
    ended, sent = json.loads(out), any('"done"' in one and "send the last of" in one for one in told(three, operation))
    if cut:
        wait_until(lambda: not machines(three)[SOURCE]["reachable"], f"{SOURCE} is out of reach", within=ELECTED)
        others = [name for name in ALL if name != SOURCE]
        wait_until(lambda: all(machines(three)[name]["reachable"] for name in others), "the others answer")
        removed = three.done("machine", "rm", SOURCE, "--force", "--accept-loss", "data/data", within=300)
        assert not removed["fenced"]
        assert three.done("op", "ls")["operations"] == []
        shown = "done" if ended["ok"] else ended["error"]["state"]
        there = [row["machine"] for row in three.done("volume", "ls", "data")["volumes"]]
        assert there == ([TARGET] if sent else there)
        three.deployed((DATA % 1001).replace('"m4"', f'"{TARGET}"'))
        assert data(three) == TARGET
        assert not sent or written_lines(three) == ["first"]
        print(f"lost at line {line}: {shown}, {'all had come' if sent else 'not all had come'}: {there}", flush=True)
        all_forgotten(three, comes_back(three))
    return cut


def lost_with_its_coordinator(three: Cluster, when: Told) -> None:
    """It is lost once that holds of the journal, all having come: its target resolves the move, and what it has is
    there before the machine is removed, and is gone on from then."""
    operation, source, target = f"op-lost-{secrets.token_hex(3)}", three.on(SOURCE), three.on(TARGET)
    three.deployed((DATA % 1000).replace('"m4"', f'"{SOURCE}"'))
    written(three, "first")
    with source.begin("--json", "migrate", "apply", "data/one", "--to", TARGET, "--op-id", operation) as moving:
        assert kill_when(source.journal(operation), when, source.holder()), "it was over before"
        moving.communicate(timeout=60)
    wait_until(lambda: not machines(target)[SOURCE]["reachable"], f"{SOURCE} is out of reach", within=ELECTED)
    acknowledged(target, "ELECTED")
    over = target.ctl("op", "resume", operation, "--take-over", within=200)
    assert over.code == 0 or over.error["state"] == "stuck", over.out
    came = [name for name in target.datasets() if f"/data/data/{operation}" in name]
    assert [name for name in came if "@" in name], f"what {TARGET} has is there: {over.out}"
    removed = target.done("machine", "rm", SOURCE, "--force", "--accept-loss", "data/data", within=300)
    assert not removed["fenced"]
    assert target.done("op", "ls")["operations"] == []
    three.deployed((DATA % 1001).replace('"m4"', f'"{TARGET}"'))
    assert data(three) == TARGET
    assert written_lines(three) == ["first"]
    shown = "done" if over.code == 0 else over.error["state"]
    print(f"lost with who coordinated: {shown} from {TARGET}, which has {sorted(came)}", flush=True)


def told(three: Cluster, operation: str) -> list[str]:
    return lines(three.journal(operation))


def comes_back(three: Cluster) -> list[Any]:
    """What was removed is up again, and joins anew. Returns what it brings along."""
    three.up()
    there = three.on(SOURCE)
    wait_until(lambda: there.ctl("mesh", "destroy", "--force").code == 0, f"{SOURCE} leaves", within=ELECTED)
    wait_until(partial(is_alone, there), f"{SOURCE} is alone", within=ELECTED)
    brought: list[Any] = come(three, SOURCE, "m1")["adopted"]
    for name in ALL:
        wait_until(partial(knows, three.on(name), ALL), f"{name} knows all", within=ELECTED)
    return brought


def main(first: str = "1", every: str = "7") -> None:
    root = Path(tempfile.mkdtemp(prefix="pz", dir="/var/tmp"))
    three, began = Cluster(root, "lost"), time.monotonic()
    try:
        three.up(3)
        if first == "source":
            for when in (ALL_CAME, COMMITS):
                lost_with_its_coordinator(three, when)
                all_forgotten(three, comes_back(three))
        else:
            at = int(first)
            while lost_at(three, at):
                at += int(every)
        print(f"over after {time.monotonic() - began:.0f} s", flush=True)
    finally:
        three.plain("dev", "down", "--name", three.name)
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
