"""Lives lived on the fakes of the law. As a program: `python -m tests.law.faked FIRST COUNT` lives so many, from that
seed on, and ends with the first that differs from its model.
"""

import sys

from daemon.wire import Mutation
from tests.law.cases import shop
from tests.law.lives import Life, Rows
from tests.law.sound import head_of, require_sound
from tests.law.world import ROOT, ask, founded


class Faked:
    def __init__(self, *, openzfs: bool) -> None:
        self.world = founded(openzfs=openzfs)
        self.before, self.asked = sorted(self.world.zfs.kept), 0

    def refusal(self, request: Mutation) -> str:
        self.asked += 1
        ending = ask(self.world, request, f"op-{self.asked:03}")
        assert ending in ("done", "refused"), ending
        return "" if ending == "done" else ending

    def manifest(self, namespace: str, version: int, keep: int) -> str:
        return shop(db=version, keep=keep, namespace=namespace).manifest

    def deploy(self, namespace: str) -> int:
        head = head_of(self.world, namespace)
        return head.deploy if head else 0

    def write(self, namespace: str, row: str) -> None:
        self.world.zfs.write(self._data(namespace), row, b"committed")

    def rows(self, namespace: str) -> Rows:
        return frozenset(self.world.zfs.kept[self._data(namespace)].content)

    def _data(self, namespace: str) -> str:
        head = head_of(self.world, namespace)
        assert head
        return f"{ROOT}/{namespace}/data/{head.volumes['data'].generation}"

    def require_sound(self, said: str) -> None:
        require_sound(self.world, f"after\n{said}\n")

    def require_empty(self) -> None:
        """Everything was purged, so nothing is held."""
        assert sorted(self.world.zfs.kept) == self.before

    def close(self) -> None:
        self.world.close()


STEPS = 24


def live(seed: int) -> None:
    """One life, to its end."""
    place = Faked(openzfs=seed % 2 == 0)
    try:
        Life(place, seed).live(STEPS)
        place.require_empty()
    except BaseException as failure:
        failure.add_note(f"the seed was {seed}")
        raise
    finally:
        place.close()


if __name__ == "__main__":
    first, count = map(int, sys.argv[1:])
    for number in range(first, first + count):
        live(number)
