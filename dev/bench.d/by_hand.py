"""What somebody with nothing but `docker` types to replace a service; run inside the machine, prints the seconds.

    by_hand.py SOCKET web OLD NEW VERSION       new beside old, wait until it is ready, stop and remove old
    by_hand.py SOCKET db OLD NEW FOLDER         stop old, new on the same directory, wait until it is ready, remove old

It asks whether it is ready as often as the demo's manifests do. The old one may be missing.
"""

import subprocess
import sys
import time
import urllib.error
import urllib.request

EVERY, WITHIN = 0.1, 60.0
NETWORK = "hand"


class Hand:
    """A person at the engine's client."""

    def __init__(self, socket: str) -> None:
        self.client = ("docker", "-H", f"unix://{socket}")

    def docker(self, *words: str) -> str:
        return subprocess.run((*self.client, *words), check=True, capture_output=True, text=True).stdout.strip()

    def web(self, old: str, new: str, version: str) -> None:
        self.docker("run", "-d", "--name", new, "--network", NETWORK, f"ployz-demo/web:{version}")
        address = self.docker("inspect", "-f", f"{{{{.NetworkSettings.Networks.{NETWORK}.IPAddress}}}}", new)
        wait(lambda: _answers(f"http://{address}:8080/ready"))
        if old != "-":
            self.docker("stop", "-t", "10", old)
            self.docker("rm", old)

    def db(self, old: str, new: str, folder: str) -> None:
        if old != "-":
            self.docker("stop", "-t", "10", old)
        place = ("--network", NETWORK, "--network-alias", "db", "--shm-size", "64m")
        data = ("-v", f"{folder}:/var/lib/postgresql/data")
        self.docker("run", "-d", "--name", new, *place, "-e", f"RUN={new}", *data, "ployz-demo/db:1")
        wait(lambda: self._accepts(new))
        if old != "-":
            self.docker("rm", old)

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


def main(socket: str, service: str, old: str, new: str, which: str) -> None:
    hand = Hand(socket)
    began = time.perf_counter()
    {"web": hand.web, "db": hand.db}[service](old, new, which)
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
