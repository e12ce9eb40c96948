"""A cluster as its users have it: `ployzctl`, the address to open, and the plug to pull.

What is looked at from outside (containers, datasets, rules) is asked of the engine and of ZFS themselves.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).parent.parent.parent
DEMO = HOUSE / "dev" / "demo.d"
IMAGES = HOUSE / "dev" / "images"


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return self.json["error"]


@dataclass
class Cluster:
    """A cluster under `root` that `ployzctl dev up` made, seen from the machine `at`: that one is asked and looked at.

    The first one is whom `dev up` has pointed ployzctl at.
    """

    root: Path
    name: str
    at: str = "m1"

    def on(self, machine: str) -> "Cluster":
        """The same cluster, seen from another machine."""
        return Cluster(self.root, self.name, machine)

    def up(self, machines: int | None = None) -> Any:
        """Have that many machines, or as many as there are, run: what `dev up` says of them."""
        count = () if machines is None else ("--machines", str(machines))
        return self.done("dev", "up", "--name", self.name, *count, within=300.0)["machines"]

    @property
    def machine(self) -> Path:
        return self.root / self.name / self.at

    @property
    def socket(self) -> Path:
        return self.machine / "ployzd.sock"

    @property
    def engine(self) -> Path:
        return self.machine / "data" / "docker" / "docker.sock"

    @property
    def environment(self) -> dict[str, str]:
        home = self.root / "home"
        elsewhere = {} if self.at == "m1" else {"PLOYZ_SOCKET": str(self.socket)}
        return {
            **os.environ,
            "PLOYZ_DEV_DIR": str(self.root),
            "XDG_CONFIG_HOME": str(home),
            "PYTHONPATH": str(HOUSE),
            "NO_COLOR": "1",
            **elsewhere,
        }

    # ------------------------------------------------------------------------------------------- being used

    def ctl(self, *words: str, given: str | bytes = "", within: float = 120.0) -> Ran:
        """`ployzctl --json WORDS`."""
        return self.plain("--json", *words, given=given, within=within)

    def plain(self, *words: str, given: str | bytes = "", within: float = 120.0) -> Ran:
        """`ployzctl WORDS`, as a person would."""
        text = given.encode() if isinstance(given, str) else given
        with self.begin(*words) as process:
            out, err = process.communicate(text, timeout=within)
        return Ran(process.returncode, out.decode(), err.decode())

    def begin(self, *words: str) -> "subprocess.Popen[bytes]":
        """A `ployzctl` that is under way."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "ctl", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            cwd=DEMO,
        )

    def done(self, *words: str, given: str | bytes = "", within: float = 120.0) -> Any:
        """The result of a command that has to succeed."""
        ran = self.ctl(*words, given=given, within=within)
        assert ran.code == 0, f"ployzctl {' '.join(words)} exited with {ran.code}: {ran.out}{ran.err}"
        return ran.json["result"]

    def get(self, path: str, *, method: str = "GET", host: str = "shop.localhost", within: float = 15.0) -> str:
        """Ask the gateway, at the address that a person would open."""
        request = urllib.request.Request(f"{self.url}{path}", method=method, headers={"Host": host})
        with urllib.request.urlopen(request, timeout=within) as answer:
            return str(answer.read().decode().strip())

    def status_of(self, path: str, host: str = "shop.localhost") -> int:
        try:
            self.get(path, host=host)
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    def deploy(self, manifest: str, *words: str) -> Ran:
        """`ployzctl deploy` with a manifest from stdin."""
        return self.ctl("deploy", "-f", "-", *words, given=manifest)

    def deployed(self, manifest: str, *words: str) -> Any:
        """The result of a deploy that has to succeed."""
        return self.done("deploy", "-f", "-", *words, given=manifest)

    def write_row(self) -> int:
        """One row, acknowledged: its id."""
        return int(self.get("/rows", method="POST"))

    @cached_property
    def url(self) -> str:
        """Where its gateway answers on this host: the same as long as the cluster is there."""
        return str(self.told["url"])

    @property
    def told(self) -> Any:
        """What `dev ls` says of the machine."""
        [cluster] = [c for c in self.done("dev", "ls")["clusters"] if c["name"] == self.name]
        [machine] = [m for m in cluster["machines"] if m["name"] == self.at]
        return machine

    # -------------------------------------------------------------------------------- what is there, from outside

    def inside(self, *argv: str, within: float = 60) -> str:
        """Run a command in the machine's namespaces."""
        words = ["nsenter", "--target", str(self.holder()), "--mount", "--net", "--pid", "--", *argv]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=within)
        try:
            ran.check_returncode()
        except subprocess.CalledProcessError as failure:
            failure.add_note(f"it said {ran.stderr!r}")
            raise
        return ran.stdout

    def holder(self) -> int:
        """The process that holds the machine's namespaces."""
        return self.process("tini", str(self.machine))

    def daemon(self) -> int:
        """The pid of its ployzd."""
        return self.process(sys.executable, "-m daemon ", str(self.socket))

    def pid(self, program: str) -> int:
        """The pid of a process of its data plane; its command line names the machine's folder."""
        return self.process(f"{program} ", str(self.machine / "data"))

    def daemon_runs(self) -> bool:
        try:
            return bool(self.daemon())
        except LookupError:
            return False

    def containers(self) -> list[str]:
        return sorted(self.docker("ps", "-a", "--format", "{{.ID}} {{.Names}} {{.Status}}").split("\n"))

    def container_ids(self) -> list[str]:
        return sorted(self.docker("ps", "-aq", "--no-trunc").split())

    def docker(self, *words: str) -> str:
        return self.inside("docker", "-H", f"unix://{self.engine}", *words).strip()

    def paused(self) -> list[str]:
        """The containers that stand still."""
        return self.docker("ps", "--filter", "status=paused", "--format", "{{.Names}}").split()

    def datasets(self) -> list[str]:
        """Every dataset and snapshot."""
        return sorted(self.inside("zfs", "list", "-H", "-t", "all", "-o", "name").split())

    def rules(self) -> str:
        """The firewall's table, without counters and handles."""
        return re.sub(r"# handle \d+", "", self.inside("nft", "list", "table", "ip", "ployz"))

    def dump(self) -> str:
        """The database, as text: two dumps of the same data are the same to the byte."""
        return self.docker("exec", self.database(), "pg_dump", "-U", "shop", "--restrict-key=x", "shop")

    def rows(self, namespace: str = "shop") -> list[tuple[int, str]]:
        """Every row's id and by whom it is, as the database has it."""
        told = self.docker(
            "exec", self.database(namespace), "psql", "-U", "shop", "-Atc", "SELECT id, by FROM rows ORDER BY id"
        )
        return [(int(id), by) for id, _, by in (line.partition("|") for line in told.splitlines())]

    def database(self, namespace: str = "shop") -> str:
        """The container of a namespace's database, on this machine."""
        names = self.docker("ps", "--format", "{{.Names}}").split()
        [container] = [name for name in names if name.startswith(f"{namespace}-db-")]
        return container

    def journal(self, operation: str) -> Path:
        return self.machine / "data" / "operations" / f"{operation}.jsonl"

    # --------------------------------------------------------------------------------------- being mistreated

    def kill_daemon(self) -> None:
        """`kill -9`, and see it gone."""
        pid = self.daemon()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: gone(pid), "ployzd is gone")

    def start_daemon(self) -> None:
        """`dev up` finds what is down and starts it."""
        self.up()

    def settled(self) -> None:
        """Wait until no operation is open any more."""
        wait_until(lambda: self.done("op", "ls")["operations"] == [], "no operation is open")

    def process(self, *words: str) -> int:
        """The pid of the process whose command line has all these words."""
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
                if all(word in line for word in words) and "nsenter" not in line and "unshare" not in line:
                    return int(folder.name)
        raise LookupError(f"there is no process {words}")


@contextmanager
def scratch(name: str) -> Iterator[Cluster]:
    """A cluster of that name that is not up yet, in a folder of its own; neither is there afterwards."""
    root = Path(tempfile.mkdtemp(prefix="pz", dir="/var/tmp"))
    made = Cluster(root, name)
    try:
        yield made
    finally:
        made.plain("dev", "down", "--name", name)
        shutil.rmtree(root, ignore_errors=True)


def wait_until(holds: Callable[[], bool], what: str, within: float = 60.0) -> None:
    """Look until it is so."""
    until = time.monotonic() + within
    while not holds():
        assert time.monotonic() < until, f"after {within:g} seconds it is still not so that {what}"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    """Whether the process has ended, buried or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return True
