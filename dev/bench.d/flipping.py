"""What people notice while a service is replaced: several of them ask all the time, through the gateway."""

import http.client
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from figure import Figure

from tests.machine.cluster import DEMO, Cluster

FLIPS = 6
PEOPLE = 6
PAUSE = 0.005
"""Seconds that each of them waits between two requests."""
PATIENCE = 10.0


@dataclass
class Crowd:
    """People who ask for the version until they are told to stop; what they got."""

    url: str
    over: threading.Event = field(default_factory=threading.Event)
    times: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def ask_all_the_time(self) -> None:
        while not self.over.is_set():
            began = time.perf_counter()
            try:
                told = self._ask()
                if told not in ("200 1", "200 2"):
                    self.lost.append(told)
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
            self.times.append(time.perf_counter() - began)
            time.sleep(PAUSE)

    def _ask(self) -> str:
        line = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE)
        try:
            line.request("GET", "/version", headers={"Host": "shop.localhost"})
            answer = line.getresponse()
            return f"{answer.status} {answer.read().decode().strip()}"
        finally:
            line.close()


def measure(cluster: Cluster) -> list[Figure]:
    """Flip back and forth under load; every request has to be answered by one of the two versions."""
    cluster.done("deploy", "-f", "shop-1.toml")
    crowd = Crowd(cluster.url)
    people = [threading.Thread(target=crowd.ask_all_the_time) for _ in range(PEOPLE)]
    for person in people:
        person.start()
    try:
        for turn in range(FLIPS):
            text = (DEMO / f"shop-{(turn + 1) % 2 + 1}.toml").read_text()
            cluster.done("deploy", "-f", "-", given=text)
    finally:
        crowd.over.set()
        for person in people:
            person.join()
    made, lost = len(crowd.times), len(crowd.lost)
    what = f"requests lost at {FLIPS} `blue_green` flips"
    beside = f"of {made} by {PEOPLE} people; longest answer {max(crowd.times) * 1000:.0f} ms"
    if lost:
        beside += f"; first loss: {crowd.lost[0]}"
    return [Figure(what, str(lost), beside, "", "none", lost == 0, FLIPS)]
