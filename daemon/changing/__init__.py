"""The steps of a change: names, writers, snapshots, clones, candidates; the commit; the flip, and what leaves."""

from functools import partial

from daemon.change import Change, Level
from daemon.changing import data, instances, names, secrets, serving
from daemon.changing.instances import GO_ON as GO_ON
from daemon.changing.instances import PAUSE as PAUSE
from daemon.changing.outcome import confirm_instances as confirm_instances
from daemon.changing.outcome import confirm_secrets as confirm_secrets
from daemon.changing.outcome import confirm_served as confirm_served
from daemon.changing.outcome import verify as verify
from daemon.node import Node
from daemon.primitive import Commit, Part, Step, Together


def steps(change: Change, node: Node) -> list[Part]:
    """A pure function of the plan."""
    if change.nothing:
        return []
    stopping = [instances.stop(old, node.at(old.machine)) for old in change.stops]
    snapshots = [data.snapshot(change, taken.datasets, node.at(taken.machine)) for taken in change.snapshot]
    return [
        *grouped([instances.fetch(image, node) for image in change.images]),
        *if_any(change.reserves, names.reserve(change, node)),
        *grouped([secrets.carry(change, carried, node) for carried in change.carries]),
        *grouped([serving.see_candidates(change, node.at(machine)) for machine in change.serves]),
        *grouped(stopping),
        *grouped(snapshots),
        *_copy(change, node),
        *grouped([data.generation(change, new, node.at(new.machine)) for new in change.generations]),
        *(part for members in starting(change, node) for part in grouped(members)),
        Commit(
            _committing(change),
            do=partial(commit, change, node),
            settle=lambda: node.records.settle(change.after.namespace, change.operation),
        ),
        *grouped([serving.flip(change, node.at(machine)) for machine in change.serves]),
        *grouped([*_owning(change, node), *_leaving(change, node), *_remembering(change, node)]),
        *grouped([data.settle_lineage(change, new, node.at(new.machine)) for new in change.generations]),
        *_dropping(change, node),
        *if_any(change.releases, names.release(change, node)),
    ]


async def commit(change: Change, node: Node) -> None:
    """Write the namespace's record, with the head that is next."""
    namespace, by = change.after.namespace, change.operation
    await node.records.commit(namespace, change.next, by, change.token, change.secrets)


def _committing(change: Change) -> str:
    if change.removes:
        return f"commit that there is no namespace {change.after.namespace} any more"
    return f"commit deploy {change.after.deploy} of {change.after.namespace}"


def starting(change: Change, node: Node) -> list[list[Step]]:
    """What starts, level by level, with the check beside what comes last: that waits for instances most of the time."""
    groups = [members for level in change.levels for members in _level(change, level, node) if members]
    checks = [serving.check(change, node.at(machine)) for machine in change.serves]
    return [*groups[:-1], [*checks, *(groups[-1] if groups else ())]]


def _dropping(change: Change, node: Node) -> list[Part]:
    """What is purged gives room first: on a full pool there is none for marking as kept what may have to stay."""
    keeping = grouped([data.drop(change, dropped.dataset, node.at(dropped.machine)) for dropped in change.drops])
    forgetting = if_any(change.forgets, data.forget(change, node))
    freeing = grouped(_freeing(change, node))
    return [*forgetting, *freeing, *keeping] if change.purges else [*keeping, *forgetting, *freeing]


def _copy(change: Change, node: Node) -> list[Part]:
    """Everything after the snapshot may take its time: nobody stands still for it."""
    copied = grouped([data.snapshot(change, taken.datasets, node.at(taken.machine)) for taken in change.copied])
    pausing = [instances.pause(change, pause, node.at(pause.machine)) for pause in change.pauses]
    going_on = [instances.go_on(change, pause, node.at(pause.machine)) for pause in change.pauses]
    return [*grouped(pausing), *copied, *grouped(going_on)]


def _owning(change: Change, node: Node) -> list[Step]:
    marking = [data.own(new, node.at(new.machine)) for new in change.generations]
    olds = [(new, data.before(change, new)) for new in change.generations]
    return [*marking, *(data.unmount(new.volume, old, node.at(new.machine)) for new, old in olds if old)]


def _leaving(change: Change, node: Node) -> list[Step]:
    one_shots = [hook for level in change.levels for hook in level.hooks if hook.one_shot]
    return [
        *(instances.leave(old, node.at(old.machine)) for old in change.goes),
        *(instances.forget(hook, node.at(hook.machine)) for hook in one_shots),
    ]


def _remembering(change: Change, node: Node) -> list[Step]:
    return [data.keep_point(change, node)] if change.before else []


def _freeing(change: Change, node: Node) -> list[Step]:
    frees = change.serves if change.forgets or change.purges else data.taking_over(change)
    unneeded = [data.free(change, node.at(machine)) for machine in frees]
    unnamed = [secrets.tidy(change, node)] if change.tidies else []
    return [*unneeded, *unnamed]


def _level(change: Change, level: Level, node: Node) -> list[list[Step]]:
    first = [instances.run_one_shot(change, hook, node.at(hook.machine)) for hook in level.hooks if hook.one_shot]
    starts = [instances.start(change, candidate, node.at(candidate.machine)) for candidate in level.candidates]
    inside = [instances.run_inside(hook, node.at(hook.machine)) for hook in level.hooks if hook.inside]
    return [first, starts, inside]


def grouped(members: list[Step]) -> list[Part]:
    """Steps that go together."""
    return [Together(tuple(members))] if len(members) > 1 else list(members)


def if_any(there: object, step: Step) -> list[Part]:
    """A step that is one only if there is something to do."""
    return [step] if there else []
