"""The walk of `dev/demo`: everything is done with `ployzctl` and through the address that a person would open."""

import argparse
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CTL = Path(sys.executable).parent / "ployzctl"
CLUSTER = "demo"
HOST = "shop.localhost"
TAKEN_BACK = 4


class WalkFailed(Exception):
    """Something on the way was not as promised."""


@dataclass(frozen=True)
class Shop:
    """The demo, as its users have it: where its first machine is asked, where each of them is opened."""

    socket: str
    urls: tuple[str, ...]

    @property
    def engine(self) -> Path:
        return Path(self.socket).parent / "data" / "docker" / "docker.sock"

    def ctl(self, *words: str, expect: int = 0) -> Any:
        """What `ployzctl --json WORDS` answers. Raises WalkFailed unless it exits as expected."""
        return ctl("--socket", self.socket, *words, expect=expect)

    def ask(self, path: str, *, add: bool = False, at: int = 0) -> str:
        """Raises OSError where nobody answers."""
        method, data = ("POST", b"demo") if add else ("GET", None)
        request = urllib.request.Request(f"{self.urls[at]}{path}", method=method, data=data, headers={"Host": HOST})
        with urllib.request.urlopen(request, timeout=15) as answer:
            return str(answer.read().decode().strip())

    def seen(self, at: int) -> tuple[str, int]:
        """The version that answers at a machine, and how many rows it counts."""
        return self.ask("/version", at=at), int(self.ask("/rows", at=at))

    def add_rows(self, count: int) -> None:
        for _ in range(count):
            self.ask("/rows", add=True)

    def deploy(self, version: int, *, expect: int = 0) -> Any:
        return self.ctl("deploy", "-f", str(HERE / "demo.d" / f"shop-{version}.toml"), expect=expect)

    def dump(self) -> str:
        """The whole database as text, the same to the byte for the same data."""
        words = ("exec", "shop/db", "--", "pg_dump", "-U", "shop", "--restrict-key=demo", "shop")
        return run(str(CTL), "--socket", self.socket, *words).stdout


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser("dev/demo", description="Walk through what ployz is for.")
    parser.add_argument("--machines", type=int, default=1, help="of how many machines the cluster is")
    parser.add_argument("--down", action="store_true", help="remove that cluster, with everything in it")
    asked = parser.parse_args(words)
    try:
        if asked.down:
            remove()
        else:
            walk(begin(asked.machines))
    except WalkFailed as failed:
        say(f"\nThe demo stopped here: {failed}\n`dev/demo --down` removes all of it.")
        return 1
    return 0


def begin(count: int) -> Shop:
    """Machines that are up and one cluster; the first one has the demo's images."""
    say("Does this host have what it takes?\n")
    examine()
    what = "one machine, in namespaces of its own" if count == 1 else f"{count} machines, in namespaces of their own"
    say(f"\nA cluster of {what} on this host.\n")
    words = ("dev", "up", "--name", CLUSTER, "--machines", str(count))
    with step(f"ployzctl {' '.join(words)}"):
        machines = ctl(*words)["result"]["machines"]
    shop = Shop(machines[0]["socket"], tuple(machine["url"] for machine in machines))
    with step(f"Build the demo's images and load them into the engine of {machines[0]['name']} (no registry is asked)"):
        run(str(HERE / "images"), "load", str(shop.engine), show_errors=True)
    return shop


def examine() -> None:
    """Show what `ployzctl doctor` finds here. Raises WalkFailed where something is missing."""
    if subprocess.run([CTL, "doctor", "--host"], stdin=subprocess.DEVNULL, check=False).returncode:
        raise WalkFailed("what is marked above has to be put right first (ployzctl doctor --host checks it again)")


def walk(shop: Shop) -> None:
    say("\nA web application over PostgreSQL.\n")
    with step("Deploy version 1"):
        shop.deploy(1)
    with step("Write 3 rows through the gateway"):
        shop.add_rows(3)
    first = promise(shop, "1", int(shop.ask("/rows")))
    with step("Deploy version 2; the database stays as it is, and running"):
        shop.deploy(2)
    promise(shop, "2", first[1])
    with step("Write 2 more rows"):
        shop.add_rows(2)
    second = promise(shop, "2", first[1] + 2)
    break_it(shop, second)
    go_back_and_forth(shop, first, second)
    if len(shop.urls) > 1:
        spread(shop, second)
    say(ending(shop))


def break_it(shop: Shop, second: tuple[str, int]) -> None:
    say("\nVersion 3 is broken on purpose: its migration changes the table, and then fails.\n")
    before = shop.dump()
    with step("Deploy version 3; it fails and is taken back (exit 4)"):
        error = shop.deploy(3, expect=TAKEN_BACK)["error"]
    say(f"      {error['what']}: {error['why']}".replace("\n", "\n      "))
    if shop.dump() != before:
        raise WalkFailed("the database is not what it was before the failed deploy")
    promise(shop, *second)
    say(f"      The dumps of the database before and after are the same, to the byte ({len(before)} bytes).")


def go_back_and_forth(shop: Shop, first: tuple[str, int], second: tuple[str, int]) -> None:
    say("\nBack to version 1 with the data of its time, and forth again.\n")
    with step("Roll back code and data"):
        shop.ctl("rollback", "shop")
    promise(shop, *first)
    with step("Undo that: roll back the rollback"):
        shop.ctl("rollback", "shop")
    promise(shop, *second)


def spread(shop: Shop, second: tuple[str, int]) -> None:
    say("\nThe web service on every machine; each has the image from the one that has it.\n")
    with step(f"Scale it to {len(shop.urls)}"):
        shop.ctl("scale", "shop/web", str(len(shop.urls)))
    for row in shop.ctl("ps", "shop")["result"]["instances"]:
        say(f"      {row['service']} on {row['machine']}, at {row['ip']}")
    promise(shop, *second)


def promise(shop: Shop, version: str, rows: int) -> tuple[str, int]:
    """Look whether it is so, whichever machine is asked, and say it."""
    for at, url in enumerate(shop.urls):
        if (seen := shop.seen(at)) != (version, rows):
            raise WalkFailed(f"version {version} with {rows} rows was promised, and {seen} is there, at {url}")
    everywhere = " at every machine's gateway" if len(shop.urls) > 1 else ""
    say(f"      version {version} answers{everywhere}, and counts {rows} rows")
    return version, rows


def ending(shop: Shop) -> str:
    address = shop.urls[0].replace("127.0.0.1", HOST)
    return f"""
The cluster is up. Open {address}/rows

Try next, in a shell that knows the way:

  export PATH="{CTL.parent}:$PATH"; eval "$(ployzctl dev env m1 --name {CLUSTER})"

  ployzctl status
  ployzctl history shop
  ployzctl deploy -f {HERE / "demo.d" / "shop-3.toml"} --preview

`{HERE / "demo"} --down` removes all of it."""


def remove() -> None:
    with step(f"ployzctl dev down --name {CLUSTER}"):
        known = [each["name"] for each in ctl("dev", "ls")["result"]["clusters"]]
        if CLUSTER in known:
            ctl("dev", "down", "--name", CLUSTER)
    say("Nothing of the demo is left but .venv and the cached images." if CLUSTER in known else "There was nothing.")


# ------------------------------------------------------------------------------------- telling and running


@contextmanager
def step(words: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    say(f"{time.monotonic() - began:5.1f} s  {words}")


def say(words: str) -> None:
    print(words, flush=True)


def ctl(*words: str, expect: int = 0) -> Any:
    ran = run(str(CTL), "--json", *words, expect=expect)
    return json.loads(ran.stdout)


def run(*argv: str, expect: int = 0, show_errors: bool = False) -> "subprocess.CompletedProcess[str]":
    stderr = None if show_errors else subprocess.PIPE
    ran = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False)
    if ran.returncode != expect:
        raise WalkFailed(f"`{' '.join(argv)}` exited with {ran.returncode}: {ran.stdout}{ran.stderr or ''}")
    return ran


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
