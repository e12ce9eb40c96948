"""What somebody with nothing but `docker` types to replace a service; run inside the machine, prints the seconds.

    by_hand.py ENGINE web OLD NEW VERSION       new beside old, wait until it is ready, stop and remove old
    by_hand.py ENGINE db OLD NEW FOLDER         stop old, new on the same directory, wait until it is ready, remove old
    by_hand.py ENGINE many - NAME COUNT         so many new ones at a time, and wait until all are ready
    by_hand.py ENGINE pair - NAME FOLDER        db on the directory and web beside it at a time, likewise

It asks whether it is ready as often as the demo's manifests do. The old one may be missing.
"""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

EVERY, WITHIN = 0.1, 60.0
NETWORK = "hand"
NETWORKS = {"many": "many", "pair": "pair"}


class Hand:
    """A person at the engine's client."""

    def __init__(self, engine: str, network: str) -> None:
        self.client, self.network = ("docker", "-H", f"unix://{engine}"), network

    def docker(self, *words: str) -> str:
        return subprocess.run((*self.client, *words), check=True, capture_output=True, text=True).stdout.strip()

    def web(self, old: str, new: str, version: str) -> None:
        self.docker("run", "-d", "--name", new, "--network", self.network, f"ployz-demo/web:{version}")
        address = self._address(new)
        wait(lambda: _answers(f"http://{address}:8080/ready"))
        if old != "-":
            self.docker("stop", "-t", "10", old)
            self.docker("rm", old)

    def db(self, old: str, new: str, folder: str) -> None:
        if old != "-":
            self.docker("stop", "-t", "10", old)
        place = ("--network", self.network, "--network-alias", "db", "--shm-size", "64m")
        data = ("-v", f"{folder}:/var/lib/postgresql/data")
        self.docker("run", "-d", "--name", new, *place, "-e", f"RUN={new}", *data, "ployz-demo/db:1")
        wait(lambda: self._accepts(new))
        if old != "-":
            self.docker("rm", old)

    def many(self, _: str, name: str, count: str) -> None:
        with ThreadPoolExecutor(int(count)) as people:
            list(people.map(self._one, (f"{name}-{number}" for number in range(int(count)))))

    def _one(self, name: str) -> None:
        self.docker("run", "-d", "--name", name, "--network", self.network, "ployz-demo/web:1")
        address = self._address(name)
        wait(lambda: _listens(address))

    def pair(self, _: str, name: str, folder: str) -> None:
        with ThreadPoolExecutor(2) as people:
            both = people.submit(self.db, "-", f"{name}-db", folder), people.submit(self.web, "-", f"{name}-web", "1")
        for one in both:
            one.result()

    def _address(self, name: str) -> str:
        return self.docker("inspect", "-f", f"{{{{.NetworkSettings.Networks.{self.network}.IPAddress}}}}", name)

    def _accepts(self, name: str) -> bool:
        asking = ("exec", name, "pg_isready", "-q", "-h", "127.0.0.1", "-U", "shop", "-d", "shop")
        return subprocess.run((*self.client, *asking), capture_output=True).returncode == 0


def wait(ready) -> None:
    until = time.monotonic() + WITHIN
    while not ready():
        if time.monotonic() > until:
            sys.exit(f"it was not ready within {WITHIN:g} seconds")
        time.sleep(EVERY)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _listens(address: str) -> bool:
    try:
        socket.create_connection((address, 8080), timeout=10).close()
    except OSError:
        return False
    return True


def main(engine: str, service: str, old: str, new: str, which: str) -> None:
    hand = Hand(engine, NETWORKS.get(service, NETWORK))
    began = time.perf_counter()
    {"web": hand.web, "db": hand.db, "many": hand.many, "pair": hand.pair}[service](old, new, which)
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
