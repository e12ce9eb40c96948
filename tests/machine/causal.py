"""A namespace in which one thing causes the next: each number goes to PostgreSQL, then to Redis, then to a file.

All three are processes of the machine. The writer tells when it began with each number, and when all of it was durable.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.machine.hosted import REDIS
from tests.machine.workloads import POSTGRES, SOMEBODY

WRITER = """
import http.server, itertools, json, os, socket, subprocess, threading, time
psql = ("psql", "-h", "db", "-U", "shop", "-qAt", "postgres")
database = subprocess.Popen(psql, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
cache = socket.create_connection(("cache", 6379)).makefile("rwb", buffering=0)
def ask(sql):
    database.stdin.write(sql + ";\\n")
    return database.stdout.readline().strip()
def redis(*words):
    cache.write(b"*%d\\r\\n" % len(words) + b"".join(b"$%d\\r\\n%s\\r\\n" % (len(word), word) for word in words))
    return int(cache.readline()[1:])
def file(number):
    with open(f"/srv/{number}", "w") as file:
        os.fsync(file.fileno())
    folder = os.open("/srv", os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
told = []
def write():
    ask("CREATE TABLE rows (id int PRIMARY KEY); SELECT 1")
    for number in itertools.count(1):
        began = time.time()
        assert ask(f"INSERT INTO rows VALUES ({number}) RETURNING id") == str(number)
        assert redis(b"RPUSH", b"rows", b"%d" % number) == number
        file(number)
        told.append((number, began, time.time()))
def state():
    rows = json.loads(ask("SELECT coalesce(json_agg(id ORDER BY id), '[]') FROM rows"))
    listed = [int(redis_at(at)) for at in range(redis(b"LLEN", b"rows"))]
    return {"database": rows, "cache": listed, "files": sorted(int(name) for name in os.listdir("/srv"))}
def redis_at(at):
    redis(b"LINDEX", b"rows", b"%d" % at)
    return cache.readline()
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"/ready": lambda: "yes", "/told": lambda: told, "/state": state}[self.path]()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
if os.environ["WRITES"] == "yes":
    threading.Thread(target=write, daemon=True).start()
http.server.HTTPServer(("", 8080), Answer).serve_forever()
"""


def causal() -> str:
    """The namespace `causal`. With `WRITES` another word its writer only tells what is there."""
    owned = "".join(f'[volumes.{name}]\nowner = "{SOMEBODY}"\nmode = "0700"\n' for name in ("rows", "list", "files"))
    return f"""
namespace = "causal"
[services.db]
runtime = "host"
command = ["sh", "-c", {json.dumps(POSTGRES)}]
env = {{ VERSION = "1" }}
user = "{SOMEBODY}"
volumes = {{ rows = "/srv" }}
ports = {{ pg = 5432 }}
ready = {{ exec = ["pg_isready", "-q", "-h", "/srv", "-U", "shop"], every = "0.1s", timeout = "60s" }}
stop_grace = "2s"
[services.cache]
runtime = "host"
command = {json.dumps(REDIS)}
user = "{SOMEBODY}"
volumes = {{ list = "/srv" }}
ports = {{ redis = 6379 }}
ready = {{ tcp = "redis", every = "0.1s", timeout = "20s" }}
[services.writer]
runtime = "host"
command = ["python3", "-uc", {json.dumps(WRITER)}]
env = {{ WRITES = "yes" }}
user = "{SOMEBODY}"
after = ["db", "cache"]
volumes = {{ files = "/srv" }}
ports = {{ web = 8080 }}
ready = {{ http = "/ready", port = "web", every = "0.1s", timeout = "20s" }}
routes = ["{{namespace}}.localhost"]
{owned}"""


@dataclass(frozen=True)
class State:
    """The numbers that are in each, in order."""

    database: Sequence[int]
    cache: Sequence[int]
    files: Sequence[int]

    @classmethod
    def of(cls, told: dict[str, Any]) -> "State":
        return cls(told["database"], told["cache"], told["files"])

    def require_causes(self) -> None:
        """No effect without its cause, and nothing missing before the last of any of them."""
        for effects, causes in ((self.files, self.cache), (self.cache, self.database)):
            assert list(causes[: len(effects)]) == list(effects), f"{effects[-3:]} without its cause: {causes[-3:]}"
            assert len(causes) - len(effects) <= 1, "one writer is never ahead by more than one"
        assert list(self.database) == list(range(1, len(self.database) + 1)), "a number is missing"
