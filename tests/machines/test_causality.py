"""Branches of two volumes on two machines, whose writers answer each other: with `--freeze` all are of one moment."""

import json
from collections.abc import Iterator
from functools import partial

import pytest

from tests.machine.cluster import Cluster, wait_until
from tests.machine.workloads import SOMEBODY

WRITER = """
import http.server, itertools, os, threading, time, urllib.request
last = 0
def other():
    while True:
        try:
            with urllib.request.urlopen(f"http://{os.environ['OTHER']}:8080/", timeout=30) as answer:
                return int(answer.read())
        except OSError:
            time.sleep(0.05)
def write():
    global last
    rows = os.open("/srv/rows", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in itertools.count(1):
        os.write(rows, b"%d %d\\n" % (number, other()))
        os.fsync(rows)
        last = number
class Last(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(last).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
if os.environ["WRITES"] == "yes":
    threading.Thread(target=write, daemon=True).start()
http.server.ThreadingHTTPServer(("", 8080), Last).serve_forever()
"""
"""Each row has its number and the other's last one, which was on its disk before this one was begun."""
OTHERS = {"left": "right", "right": "left"}
PLACES = {"left": "m2", "right": "m3"}
BRANCHES = {"of-one-moment": ("cluster", ("--freeze",)), "of-several": ("per-machine", ())}
"""What each is said to be, and how it is asked for."""
STILL = tuple(word for name in OTHERS for word in ("--set", f"{name}.env.WRITES=no"))


def answering() -> str:
    """The namespace `answering`: each writer on a machine of its own. With `WRITES` another word they only run."""
    services = (
        f"""
[services.{name}]
runtime = "host"
command = ["python3", "-uc", {json.dumps(WRITER)}]
env = {{ WRITES = "yes", OTHER = "{OTHERS[name]}" }}
user = "{SOMEBODY}"
place = {{ machine = "{machine}" }}
volumes = {{ {name} = "/srv" }}
ports = {{ web = 8080 }}
ready = {{ tcp = "web", every = "0.1s", timeout = "20s" }}
[volumes.{name}]
owner = "{SOMEBODY}"
"""
        for name, machine in PLACES.items()
    )
    return "\n".join(('namespace = "answering"', *services))


@pytest.fixture
def writing(many: Cluster) -> Iterator[Cluster]:
    """Both are at work; nothing of them, or of their branches, is left afterwards."""
    many.deployed(answering())
    try:
        yield many
    finally:
        for name in ("answering", *BRANCHES):
            many.ctl("namespace", "rm", name, "--purge", "--yes")


def rows(cluster: Cluster, namespace: str = "answering") -> dict[str, list[int]]:
    """Of each writer, the other's last number that each of its rows names, in order."""
    found = {}
    for name in OTHERS:
        lines = cluster.plain("exec", f"{namespace}/{name}", "--", "cat", "/srv/rows").out.splitlines()
        told = [[int(word) for word in line.split()] for line in lines]
        assert [number for number, _ in told] == list(range(1, len(told) + 1)), "a row is missing"
        found[name] = [last for _, last in told]
    return found


def without_cause(found: dict[str, list[int]]) -> list[tuple[str, int]]:
    """The rows that name a row of the other which is not there."""
    return [(name, last) for name, told in found.items() for last in told if last > len(found[OTHERS[name]])]


def wrote(cluster: Cluster, before: dict[str, list[int]]) -> bool:
    now = rows(cluster)
    return all(len(now[name]) > len(before[name]) + 20 and now[name][-1] > len(before[OTHERS[name]]) for name in now)


def test_a_frozen_branch_of_two_machines_has_no_effect_without_its_cause(writing: Cluster) -> None:
    before: dict[str, list[int]] = {name: [] for name in OTHERS}
    for name, (consistency, words) in BRANCHES.items():
        wait_until(partial(wrote, writing, before), "each answers the other")
        before = rows(writing)
        branched = writing.done("branch", "apply", "answering", name, *STILL, *words)
        assert branched["consistency"] == consistency
        assert {row["machine"] for row in writing.done("volume", "ls", name)["volumes"]} == {*PLACES.values()}
        found = rows(writing, name)
        assert all(len(found[each]) >= len(before[each]) for each in OTHERS), "what was there before is missing"
        if consistency == "cluster":
            assert without_cause(found) == []
    wait_until(partial(wrote, writing, before), "they write still")


def test_an_effect_without_its_cause_would_be_seen() -> None:
    assert without_cause({"left": [0, 1, 3], "right": [1, 2]}) == [("left", 3)]
