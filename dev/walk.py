"""The walk of `dev/demo`: everything is done with `ployzctl` and through the address that a person would open."""

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
    """The demo, as its users have it: where its machine is asked, where it is opened."""

    socket: str
    url: str

    @property
    def engine(self) -> Path:
        return Path(self.socket).parent / "data" / "docker" / "docker.sock"

    def ctl(self, *words: str, expect: int = 0) -> Any:
        """What `ployzctl --json WORDS` answers. Raises WalkFailed unless it exits as expected."""
        return ctl("--socket", self.socket, *words, expect=expect)

    def ask(self, path: str, *, add: bool = False) -> str:
        request = urllib.request.Request(
            f"{self.url}{path}", method="POST" if add else "GET", data=b"demo" if add else None, headers={"Host": HOST}
        )
        with urllib.request.urlopen(request, timeout=15) as answer:
            return str(answer.read().decode().strip())

    @property
    def seen(self) -> tuple[str, int]:
        """The version that answers, and how many rows it counts."""
        return self.ask("/version"), int(self.ask("/rows"))

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
    try:
        if words == ["--down"]:
            remove()
        else:
            walk(begin())
    except WalkFailed as failed:
        say(f"\nThe demo stopped here: {failed}\n`dev/demo --down` removes all of it.")
        return 1
    return 0


def begin() -> Shop:
    """A machine that is up, with the demo's images."""
    say("Does this host have what it takes?\n")
    examine()
    say("\nA cluster of one machine, in namespaces of its own on this host.\n")
    with step(f"ployzctl dev up --name {CLUSTER}"):
        machine = ctl("dev", "up", "--name", CLUSTER)["result"]["machines"][0]
    shop = Shop(machine["socket"], machine["url"])
    with step("Build the demo's images and load them into the machine's engine (no registry is asked)"):
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


def promise(shop: Shop, version: str, rows: int) -> tuple[str, int]:
    """Look whether it is so, and say it."""
    if shop.seen != (version, rows):
        raise WalkFailed(f"version {version} with {rows} rows was promised, and {shop.seen} is there")
    say(f"      version {version} answers, and counts {rows} rows")
    return version, rows


def ending(shop: Shop) -> str:
    address = shop.url.replace("127.0.0.1", HOST)
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
