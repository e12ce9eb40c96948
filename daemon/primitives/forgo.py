"""forgo: a namespace goes on without what it had on a machine that is gone for good.

A volume that was there goes on from the newest that another machine has of it, or is no volume of the namespace any
more; its epoch is the next one, so that nobody who comes back late writes what counts. The services that used it have
no instances until they are deployed again.
"""

from typing import Literal

from msgspec import Struct

from daemon import changing, lineage
from daemon.change import Change, Generation
from daemon.changing import commit, data, grouped, if_any, names, serving
from daemon.node import Node
from daemon.planning import NO_TOKEN
from daemon.planning.names import released
from daemon.primitive import By, Commit, Part, Step, Told, confirm, require
from daemon.seeing import require_head, see
from daemon.volumes.forgoing import generation, head_after
from daemon.volumes.losses import losses
from daemon.wire import Forgo, Forgone, ForgoneVolume, Loss

KIND = "forgone"


class Plan(Struct, frozen=True):
    """`lost` are the volumes that were there, with what there is instead."""

    change: Change
    machine: str
    lost: tuple[Loss, ...]
    warnings: tuple[str, ...] = ()


def claims(ask: Forgo) -> dict[str, Literal["change", "read"]]:
    return {ask.namespace: "change"}


async def plan(ask: Forgo, node: Node, by: By) -> Plan:
    cannot = f"cannot forgo what {ask.namespace} has on {ask.machine}"
    before, seen = await require_head(node, ask.namespace, cannot), await see(node)
    gone = ask.machine not in seen.machines or seen.machines[ask.machine].away
    require(gone, "machine.answers", cannot, f"{ask.machine} answers", f"ployzctl machine rm {ask.machine}")
    found = await losses(ask.machine, node, seen.machines.keys() - seen.away.keys())
    lost = tuple(one for one in found if one.namespace == ask.namespace and one.current)
    why = f"it has no volume on {ask.machine}"
    require(lost, "forgo.nothing", cannot, why, f"ployzctl volume ls {ask.namespace}")
    record = await node.records.namespace(ask.namespace)
    epochs = {one.name: record.next_epoch(one.name) for one in lost}
    roots = {name: machine.root for name, machine in seen.machines.items()}
    after = head_after(before, lost, epochs, by)
    change = Change(
        operation=by.operation,
        token=by.tokens.get(ask.namespace, NO_TOKEN),
        before=before,
        after=after,
        actions={},
        volume_actions={one.name: "replace" if one.instead else "remove" for one in lost},
        images=(),
        reserves=(),
        releases=released(before, after, ()),
        stops=(),
        goes=(),
        snapshot=(),
        copied=(),
        generations=tuple(generation(one, after, roots) for one in lost if one.instead),
        levels=(),
        serves=tuple(sorted(seen.machines.keys() - seen.away.keys())),
        roots=roots,
        at=by.at,
        left=tuple(sorted(before.services)),
        away=tuple(sorted(seen.away)),
    )
    return Plan(change, ask.machine, lost)


def steps(plan: Plan, node: Node) -> list[Part]:
    change = plan.change
    return [
        *grouped([data.generation(change, new, node.at(new.machine)) for new in change.generations]),
        Commit(
            f"commit that {change.after.namespace} goes on without {plan.machine}",
            do=lambda: commit(change, node),
            settle=lambda: node.records.settle(change.after.namespace, change.operation),
        ),
        *grouped([serving.flip(change, node.at(machine)) for machine in change.serves]),
        *grouped([data.own(new, node.at(new.machine)) for new in change.generations]),
        *grouped([_settle(new, node) for new in change.generations]),
        *grouped([data.free(change, node.at(name)) for name in sorted({new.machine for new in change.generations})]),
        *if_any(change.releases, names.release(change, node)),
    ]


def _settle(new: Generation, node: Node) -> Step:
    datasets = node.at(new.machine).datasets

    async def do() -> None:
        await lineage.settle(datasets, new.dataset)
        await lineage.supersede(datasets, new.dataset)

    return Step(f"let the new generation of {new.volume} own its snapshots", do, machine=new.machine)


async def verify(plan: Plan, node: Node, told: Told) -> Forgone:
    change = plan.change
    await changing.confirm_served(change, node)
    for new in change.generations:
        found = await node.at(new.machine).datasets.look(new.dataset)
        state = found.marks.get("state") if found else "not there"
        confirm(state == "current", f"the generation {new.dataset} is {state}")
    rows = [ForgoneVolume(one.name, one.instead) for one in plan.lost]
    return Forgone(change.after.namespace, plan.machine, rows)
