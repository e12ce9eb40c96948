"""How long a writer stands still while its namespace is branched: the longest gap of one that writes at 1 kHz."""

import json
import time
from statistics import median

from figure import Figure, shown

from tests.machine.cluster import Cluster

ROUNDS = 7
WRITER = """
import http.server, os, threading, time
longest, file = [0.0], os.open("/srv/written", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def write():
    last = due = time.monotonic()
    while True:
        os.write(file, b"%.6f\\n" % last)
        now = time.monotonic()
        longest[0], last = max(longest[0], now - last), now
        due = max(due + 0.001, now)
        time.sleep(due - now)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body, longest[0] = str(longest[0]).encode(), 0.0
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
threading.Thread(target=write, daemon=True).start()
http.server.HTTPServer(("", 8080), Answer).serve_forever()
"""
MANIFEST = f"""
namespace = "paused"
[services.writer]
image = "ployz-demo/web:1"
command = ["python3", "-uc", {json.dumps(WRITER)}]
user = "65534:65534"
volumes = {{ data = "/srv" }}
ports = {{ web = 8080 }}
ready = {{ tcp = "web", every = "0.1s", timeout = "20s" }}
routes = ["{{namespace}}.localhost"]
[volumes.data]
owner = "65534:65534"
"""


def measure(cluster: Cluster) -> list[Figure]:
    """In turn: branched, branched while it stands still, and left alone for as long as that took."""
    cluster.deployed(MANIFEST)
    gaps: dict[str, list[float]] = {"alone": [], "branched": [], "frozen": []}
    told: list[float] = []
    for _ in range(ROUNDS + 1):
        for name, words in (("branched", ()), ("frozen", ("--freeze",))):
            _longest(cluster)
            began = time.monotonic()
            done = cluster.done("branch", "apply", "paused", "pr", *words)
            took = time.monotonic() - began
            gaps[name].append(_longest(cluster))
            cluster.done("namespace", "rm", "pr", "--purge", "--yes")
        told.append(done["pause_ms"] / 1000)
        _longest(cluster)
        time.sleep(took)
        gaps["alone"].append(_longest(cluster))
    cluster.done("namespace", "rm", "paused", "--purge", "--yes")
    alone = f"left alone: {shown(gaps['alone'][1:])}"
    said = f"what `--freeze` says of itself: {median(told[1:]) * 1000:.0f} ms"
    return [
        Figure("longest gap of a 1 kHz writer that is branched", shown(gaps["branched"][1:]), alone, runs=ROUNDS),
        Figure("the same with `--freeze`", shown(gaps["frozen"][1:]), said, runs=ROUNDS),
    ]


def _longest(cluster: Cluster) -> float:
    """Since the last time that it was asked; asking takes it a moment as well."""
    return float(cluster.get("/", host="paused.localhost"))
