"""Databases as people run them: SQLite in a program of somebody's own, Redis, and PostgreSQL."""

import json
import re
import subprocess
from pathlib import Path

from tests.machine.hosted import REDIS

LEDGER = """
import http.server, os, signal, sqlite3, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
place = os.path.join(sys.argv[1], "ledger")
with sqlite3.connect(place) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, version TEXT)")
def asked(path, method):
    with sqlite3.connect(place) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        if method == "POST":
            connection.execute("INSERT INTO rows (version) VALUES (?)", (os.environ["VERSION"],))
        elif path == "/check":
            return connection.execute("PRAGMA integrity_check").fetchone()[0]
        return " ".join(version for version, in connection.execute("SELECT version FROM rows ORDER BY id"))
class Answer(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = asked(self.path, self.command).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = answer
http.server.ThreadingHTTPServer(("", 8080), Answer).serve_forever()
"""

POSTGRES = """
set -eu
PATH="$(ls -d /usr/lib/postgresql/*/bin | tail -n 1):$PATH"
export LC_ALL=C.UTF-8
if [ ! -d /srv/database ]; then
  rm -rf /srv/making
  initdb --username=shop --auth=trust --encoding=UTF8 -D /srv/making >/dev/null
  echo "host all all all trust" >>/srv/making/pg_hba.conf
  mv /srv/making /srv/database
  sync /srv
fi
# A clone of a running one has its locks, and the process of that number may live: but nobody else has this directory.
rm -f /srv/database/postmaster.pid /srv/.s.PGSQL.*
exec postgres -D /srv/database -k /srv -c listen_addresses='*' -c shared_buffers=16MB -c application_name="$VERSION"
"""
SOMEBODY = "65534:65534"


def ledger(version: str, runtime: str) -> str:
    """The namespace `ledger`: a program that keeps its rows in SQLite, in a container or as a process of the host."""
    kind = 'runtime = "host"' if runtime == "host" else 'image = "ployz-demo/web:1"'
    return f"""
namespace = "ledger"
[services.web]
{kind}
command = ["python3", "-uc", {json.dumps(LEDGER)}, "/srv"]
env = {{ VERSION = "{version}" }}
user = "{SOMEBODY}"
volumes = {{ data = "/srv" }}
ports = {{ web = 8080 }}
ready = {{ http = "/check", port = "web", every = "0.1s", timeout = "20s" }}
routes = ["ledger.localhost"]
[volumes.data]
owner = "{SOMEBODY}"
"""


def postgres(version: str) -> str:
    """The namespace `pg`: PostgreSQL as a process of the machine, with limits."""
    return f"""
namespace = "pg"
[services.db]
runtime = "host"
command = ["sh", "-c", {json.dumps(POSTGRES)}]
env = {{ VERSION = "{version}" }}
user = "{SOMEBODY}"
volumes = {{ data = "/srv" }}
ports = {{ pg = 5432 }}
ready = {{ exec = ["pg_isready", "-q", "-h", "/srv", "-U", "shop"], every = "0.1s", timeout = "60s" }}
resources = {{ cpus = 2, memory = "512MiB" }}
ulimits = {{ nofile = 4096 }}
read_only = true
shm = "64MiB"
stop_grace = "10s"
[volumes.data]
owner = "{SOMEBODY}"
mode = "0700"
"""


REDIS_IMAGE = "redis-of-the-machine:1"


def pack_redis(file: Path) -> None:
    """An image's files: the machine's own Redis, and the libraries that it is linked to."""
    programs = ["/usr/bin/redis-server", "/usr/bin/redis-cli"]
    linked = subprocess.run(["ldd", *programs], check=True, capture_output=True, text=True).stdout
    files = {path.lstrip("/") for path in [*programs, *re.findall(r"(/\S+) \(0x", linked)]}
    subprocess.run(["tar", "-C", "/", "--dereference", "-cf", file, *sorted(files)], check=True)


def cache(version: str, runtime: str) -> str:
    """The namespace `cache`: Redis, in a container or as a process of the host."""
    kind = 'runtime = "host"' if runtime == "host" else f'image = "{REDIS_IMAGE}"'
    return f"""
namespace = "cache"
[services.db]
{kind}
command = {json.dumps(REDIS)}
env = {{ VERSION = "{version}" }}
user = "{SOMEBODY}"
volumes = {{ data = "/srv" }}
ports = {{ redis = 6379 }}
ready = {{ tcp = "redis", every = "0.1s", timeout = "20s" }}
[volumes.data]
owner = "{SOMEBODY}"
"""
