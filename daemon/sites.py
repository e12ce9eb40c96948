"""The machines of the cluster as they can be looked at, all at once: engine, pool, and what each daemon tells."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

from daemon.executing import Executes
from daemon.held import Pool
from daemon.logs import Logged
from daemon.wire import MachineCapacity, MachineRuntime, OperationRow, Refused, RttRow
from dataplane.dataset import Dataset, Space, ZfsProblem
from runtime.instance import Condition, EngineProblem

T = TypeVar("T")


class Engine(Logged, Executes, Protocol):
    """The engine of a machine. Raises instance.EngineProblem."""

    async def all(self) -> list[Condition]: ...


class Datasets(Protocol):
    """The pool of a machine. Raises dataset.ZfsProblem."""

    @property
    def root(self) -> str: ...
    async def space(self) -> Space: ...
    async def below(self, name: str) -> list[Dataset]: ...


class Told(Struct, frozen=True):
    """What a daemon knows alone: its operations that are not over, why instances were not started after a boot, and
    since when the store is out of its sight."""

    operations: list[OperationRow] = []
    unstarted: dict[str, str] = {}
    stale_since: str | None = None


class Equipment(Struct, frozen=True):
    """What a machine has to run instances with; None where its engine cannot be asked."""

    capacity: MachineCapacity
    runtime: MachineRuntime | None


class Daemon(Protocol):
    """What the daemon of a machine tells of it."""

    async def tell(self) -> Told: ...
    async def equipment(self) -> Equipment: ...
    async def rtts(self) -> list[RttRow]:
        """How long each of the other machines takes to answer it, as it measures that now."""


@dataclass(frozen=True)
class Site:
    """One machine. Of another one each verb also raises Refused `machine.unreachable`, within some seconds."""

    machine: str
    engine: Engine
    datasets: Datasets
    daemon: Daemon


@dataclass(frozen=True)
class Answers(Generic[T]):
    """What machines answered, by name; and of those that did not, why: an EngineProblem, a ZfsProblem or a Refused."""

    part: str
    there: dict[str, T]
    failed: dict[str, Exception]

    @property
    def silent(self) -> dict[str, str]:
        """Those that did not answer at all, in words."""
        return {
            machine: f"{machine} does not answer: {why.why}"
            for machine, why in self.failed.items()
            if isinstance(why, Refused)
        }

    @property
    def broken(self) -> list[str]:
        """What is wrong with this part of those that did, in words."""
        return [
            f"the {self.part} of {machine} cannot be asked: {why}"
            for machine, why in self.failed.items()
            if machine not in self.silent
        ]


def warnings(*answers: "Answers[Any]") -> list[str]:
    """Of several questions: a machine that does not answer is named once."""
    silent = {machine: why for each in reversed(answers) for machine, why in each.silent.items()}
    return [*silent.values(), *(why for each in answers for why in each.broken)]


@dataclass(frozen=True)
class Sites:
    """This machine, and `others` as the records have them just now."""

    own: Site
    others: Callable[[], Mapping[str, Site]] = dict

    def all(self) -> dict[str, Site]:
        """Every machine by name, this one first."""
        return {self.own.machine: self.own, **self.others()}

    async def conditions(self, of: Collection[str] | None = None) -> Answers[dict[str, Condition]]:
        """The instances of each machine, or of these, by id."""
        answers = await self._ask("engine", lambda site: site.engine.all(), of)
        by_id = {machine: {one.id: one for one in found} for machine, found in answers.there.items()}
        return Answers(answers.part, by_id, answers.failed)

    async def pools(self) -> Answers[Pool]:
        """What is in each machine's pool."""

        async def asked(site: Site) -> Pool:
            return Pool(site.datasets.root, await site.datasets.below(site.datasets.root))

        return await self._ask("pool", asked)

    async def spaces(self, of: Collection[str] | None = None) -> Answers[Space]:
        """How full each pool is, or those of these machines."""
        return await self._ask("pool", lambda site: site.datasets.space(), of)

    async def told(self, of: Collection[str] | None = None) -> Answers[Told]:
        """What each daemon tells, or those of these machines."""
        return await self._ask("daemon", lambda site: site.daemon.tell(), of)

    async def equipment(self, of: Collection[str]) -> Answers[Equipment]:
        """What these machines have to run instances with."""
        return await self._ask("daemon", lambda site: site.daemon.equipment(), of)

    async def rtts(self) -> Answers[list[RttRow]]:
        """How far each machine says that the others are."""
        return await self._ask("daemon", lambda site: site.daemon.rtts())

    async def _ask(
        self, part: str, question: Callable[[Site], Awaitable[T]], of: Collection[str] | None = None
    ) -> Answers[T]:
        sites = {name: site for name, site in self.all().items() if of is None or name in of}
        told = await asyncio.gather(*(_asked(question(site)) for site in sites.values()))
        found = dict(zip(sites, told, strict=True))
        there = {name: one for name, one in found.items() if not isinstance(one, Exception)}
        return Answers(part, there, {name: one for name, one in found.items() if isinstance(one, Exception)})


async def _asked(answer: Awaitable[T]) -> T | Exception:
    try:
        return await answer
    except (EngineProblem, ZfsProblem) as problem:
        return problem
    except Refused as refused:
        if refused.code != "machine.unreachable":
            raise
        return refused
