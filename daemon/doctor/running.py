"""What runs: the engine and what it can limit, the instances that were committed, the operations that are open."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from daemon import rows
from daemon.doctor.assumption import Finding, failure, ok, warning
from daemon.finding import Mirror, heads
from daemon.wire import InstanceRow, OperationRow
from runtime.about import About
from runtime.instance import Condition


class Engine(Protocol):
    """Raises instance.EngineProblem."""

    async def about(self) -> About: ...


class Instances(Protocol):
    """Likewise."""

    async def all(self) -> list[Condition]: ...


async def engine(asked: Engine) -> Finding:
    about = await asked.about()
    return ok(f"Docker {about.version} answers, and keeps images by {about.driver}")


async def limits(asked: Engine) -> Finding:
    return judge_limits((await asked.about()).lacks)


def judge_limits(lacks: Sequence[str]) -> Finding:
    if lacks:
        hint = "boot the kernel with these controllers (cgroup_enable=memory); until then leave such settings out"
        return warning(f"the engine cannot limit {', '.join(lacks)}: a manifest that asks for it is taken back", hint)
    return ok("the engine can limit processors and memory")


async def instances(mirror: Mirror, machine: str, asked: Instances) -> Finding:
    """Those of this machine: each one has a doctor of its own."""
    conditions = {machine: {found.id: found for found in await asked.all()}}
    here = [row for row in rows.instances(heads(mirror).values(), conditions) if row.machine == machine]
    return judge_instances(here, datetime.now(UTC))


def judge_instances(found: Sequence[InstanceRow], now: datetime) -> Finding:
    again = "deploy again: those that are gone, or do not run, are made anew"
    if lost := [row.id for row in found if row.state == "missing"]:
        return failure(f"the engine does not know {', '.join(lost)}", again)
    if down := [f"{row.id} (last exit {row.last_exit})" for row in found if row.state == "stopped" and row.id]:
        return warning(f"not running: {', '.join(down)}", f"ployzctl logs NS/SERVICE tells why; {again}")
    if troubles := [says for _, says in rows.troubles(found, {}, now)]:
        return warning("; ".join(troubles), "ployzctl logs NS/SERVICE")
    return ok(f"all {len(found)} that were committed are there")


async def operations(running: Callable[[], Awaitable[list[OperationRow]]]) -> Finding:
    return judge_operations(await running())


def judge_operations(found: Iterable[OperationRow]) -> Finding:
    stuck = [row for row in found if row.state == "stuck"]
    if unreadable := [f"{row.id}: {row.says}" for row in stuck if row.code]:
        hint = "install the version of ployz that wrote it, and ployzctl op resume ID there"
        return failure(f"a journal cannot be read: {'; '.join(unreadable)}", hint)
    if stuck:
        says = "; ".join(f"{row.primitive} {', '.join(row.namespaces)} ({row.id}, {row.who}) is stuck" for row in stuck)
        return failure(says, "; ".join(f"ployzctl op resume {row.id}" for row in stuck))
    return ok("none is stuck, and every journal can be read")
