"""Lives lived on the fakes of the law. As a program: `python -m tests.law.faked FIRST COUNT [MACHINES]` lives so many,
from that seed on, and ends with the first that differs from its model.
"""

import asyncio
import sys

from daemon.records import Head
from daemon.wire import How, Mutation, Refused
from tests.fakes.zfs import FakeZfs
from tests.law.cases import shop
from tests.law.lives import Life, Rows
from tests.law.sound import head_of, require_sound
from tests.law.world import ROOT, boot, founded, ignore


class Faked:
    def __init__(self, *, openzfs: bool, machines: int) -> None:
        self.world = founded(openzfs=openzfs, machines=machines)
        self.machines = tuple(iron.name for iron in self.world.irons())
        self.before, self.asked = self._datasets(), 0

    def refusal(self, request: Mutation) -> str:
        self.asked += 1
        try:
            asyncio.run(self._carry_out(request, How(op_id=f"op-{self.asked:03}")))
        except Refused as refused:
            return f"{refused.code}: {refused.why}"
        return ""

    async def _carry_out(self, request: Mutation, how: How) -> None:
        await boot(self.world).mutate(request, how, "uid 0", ignore)

    def manifest(self, namespace: str, version: int, keep: int) -> str:
        return shop(db=version, keep=keep, namespace=namespace).manifest

    def deploy(self, namespace: str) -> int:
        head = head_of(self.world, namespace)
        return head.deploy if head else 0

    def machine(self, namespace: str) -> str:
        return self._head(namespace).volumes["data"].machine

    def runs(self, namespace: str) -> bool:
        return "db" in self._head(namespace).services

    def write(self, namespace: str, row: str) -> None:
        self._zfs(namespace).write(self._data(namespace), row, b"committed")

    def rows(self, namespace: str) -> Rows:
        return frozenset(self._zfs(namespace).kept[self._data(namespace)].content)

    def _zfs(self, namespace: str) -> FakeZfs:
        return self.world.iron(self.machine(namespace)).zfs

    def _data(self, namespace: str) -> str:
        return f"{ROOT}/{namespace}/data/{self._head(namespace).volumes['data'].generation}"

    def _head(self, namespace: str) -> Head:
        head = head_of(self.world, namespace)
        assert head
        return head

    def _datasets(self) -> list[list[str]]:
        """Those of each machine."""
        return [sorted(iron.zfs.kept) for iron in self.world.irons()]

    def require_sound(self, said: str) -> None:
        require_sound(self.world, f"after\n{said}\n")

    def require_empty(self) -> None:
        """Everything was purged, so nothing is held."""
        assert self._datasets() == self.before

    def close(self) -> None:
        self.world.close()


STEPS = 24


def live(seed: int, machines: int = 1) -> None:
    """One life, to its end."""
    place = Faked(openzfs=seed % 2 == 0, machines=machines)
    try:
        Life(place, seed).live(STEPS)
        place.require_empty()
    except BaseException as failure:
        failure.add_note(f"the seed was {seed}")
        raise
    finally:
        place.close()


if __name__ == "__main__":
    first, count, *machines = map(int, sys.argv[1:])
    for number in range(first, first + count):
        live(number, *machines)
