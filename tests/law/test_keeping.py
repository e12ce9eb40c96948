"""What is kept of a namespace's past, against a plain model: the deploy points that `keep` allows, row by row."""

import random
from dataclasses import dataclass, field

import pytest

from daemon.wire import Rollback
from tests.law.cases import shop
from tests.law.sound import head_of, points_of, require_sound
from tests.law.world import ROOT, World, ask, founded

Rows = frozenset[str]


@dataclass
class Model:
    """The rows of each replaced deploy point, and those of the present."""

    past: dict[int, Rows] = field(default_factory=dict)
    present: Rows = frozenset()
    deploy: int = 0
    keep: int = 10

    def replace(self, keep: int, rows: Rows) -> None:
        if self.deploy:
            self.past[self.deploy] = self.present
        self.deploy, self.keep, self.present = self.deploy + 1, keep, rows
        self.keep_only(keep)

    def keep_only(self, keep: int) -> None:
        self.past = {number: self.past[number] for number in sorted(self.past)[-keep:]}


class Trial:
    """A random life of a namespace: the world and its model."""

    def __init__(self, seed: int) -> None:
        self.random, self.model, self.number = random.Random(seed), Model(), 0
        self.keeps: dict[int, int] = {}
        self.world = founded(openzfs=seed % 2 == 0)

    def write(self) -> None:
        row = f"row {self.number}"
        self.world.write_row(row)
        self.model.present |= {row}

    def deploy(self) -> None:
        self.number += 1
        keep = self.random.choice((1, 2, 3))
        assert ask(self.world, shop(db=self.number, keep=keep), f"op-{self.number:03}") == "done"
        self.model.replace(keep, self.model.present)
        self.keeps[self.model.deploy] = keep

    def roll_back(self) -> None:
        if not self.model.past:
            return
        self.number += 1
        to = self.random.choice([None, *self.model.past])
        point = to or max(self.model.past)
        assert ask(self.world, Rollback("shop", to), f"op-{self.number:03}") == "done"
        keep = max(self.keeps[point], self.keeps[self.model.deploy])
        self.model.replace(keep, self.model.past[point])
        self.keeps[self.model.deploy] = self.keeps[point]

    def require_same(self) -> None:
        require_sound(self.world, f"after operation {self.number}:")
        head = head_of(self.world)
        assert head
        assert head.deploy == self.model.deploy
        assert rows(self.world, f"{ROOT}/shop/data/{head.volumes['data'].generation}") == self.model.present
        assert {point.head.deploy for point in points_of(self.world)} == set(self.model.past)

    def require_each_way_back(self) -> None:
        for number, wanted in self.model.past.items():
            world = self.world.copy()
            assert ask(world, Rollback("shop", number), "op-back") == "done"
            head = head_of(world)
            assert head
            assert rows(world, f"{ROOT}/shop/data/{head.volumes['data'].generation}") == wanted
            world.close()


def rows(world: World, dataset: str) -> Rows:
    return frozenset(key for key in world.zfs.kept[dataset].content if key.startswith("row "))


@pytest.mark.parametrize("seed", range(24))
def test_every_point_that_remains_can_be_rolled_back_to_and_nothing_else_is_left(seed: int) -> None:
    trial = Trial(seed)
    for _ in range(14):
        (trial.deploy if trial.random.random() < 0.55 else trial.roll_back)()
        if trial.model.deploy:
            trial.write()
            trial.require_same()
    trial.require_each_way_back()
    trial.world.close()
