"""The steps of a change: names, writers, snapshots, clones, candidates; the commit; the flip, and what leaves."""

from daemon.change import Change, Level
from daemon.changing import data, instances, names, serving
from daemon.changing.instances import GO_ON as GO_ON
from daemon.changing.instances import PAUSE as PAUSE
from daemon.changing.outcome import confirm_instances as confirm_instances
from daemon.changing.outcome import verify as verify
from daemon.node import Node
from daemon.primitive import Commit, Part, Step, Together


def steps(change: Change, node: Node) -> list[Part]:
    """A pure function of the plan."""
    if change.nothing:
        return []
    stopping = [instances.stop(old, node) for old in change.stops]
    return [
        *_group([instances.fetch(image.name, image.digest, node) for image in change.images]),
        *_some(change.reserves, names.reserve(change, node)),
        serving.see_candidates(change, node),
        *_group(stopping),
        *_some(change.snapshot, data.snapshot(change, change.snapshot, node)),
        *_copy(change, node),
        *_group([data.generation(change, generation, node) for generation in change.generations]),
        *(part for members in _before_the_commit(change, node) for part in _group(members)),
        Commit(
            _committing(change),
            do=lambda: node.records.commit(change.after.namespace, change.next, change.operation, change.token),
            settle=lambda: node.records.settle(change.after.namespace, change.operation),
        ),
        serving.flip(change, node),
        *_group([*_owning(change, node), *_leaving(change, node), *_remembering(change, node)]),
        *_group([data.settle_lineage(change, generation, node) for generation in change.generations]),
        *_group([data.drop(dataset, node) for dataset in change.drops]),
        *_some(change.forgets, data.forget(change, node)),
        *_some(change.forgets or change.purges, data.free(change, node)),
        *_some(change.releases, names.release(change, node)),
    ]


def _committing(change: Change) -> str:
    if change.removes:
        return f"commit that there is no namespace {change.after.namespace} any more"
    return f"commit deploy {change.after.deploy} of {change.after.namespace}"


def _before_the_commit(change: Change, node: Node) -> list[list[Step]]:
    """What starts, level by level, with the check beside what comes last: that waits for instances most of the time."""
    groups = [members for level in change.levels for members in _level(change, level, node) if members]
    return [*groups[:-1], [serving.check(change, node), *(groups[-1] if groups else ())]]


def _copy(change: Change, node: Node) -> list[Part]:
    """Everything after the snapshot may take its time: nobody stands still for it."""
    copied = _some(change.copied, data.snapshot(change, change.copied, node))
    if not change.pauses:
        return copied
    return [instances.pause(change, node), *copied, instances.go_on(change, node)]


def _owning(change: Change, node: Node) -> list[Step]:
    marking = [data.own(generation, node) for generation in change.generations]
    olds = [(generation.volume, data.before(change, generation)) for generation in change.generations]
    return [*marking, *(data.unmount(volume, old, node) for volume, old in olds if old)]


def _leaving(change: Change, node: Node) -> list[Step]:
    one_shots = [hook for level in change.levels for hook in level.hooks if hook.one_shot]
    return [
        *(instances.leave(old, node) for old in change.goes),
        *(instances.forget(hook, node) for hook in one_shots),
    ]


def _remembering(change: Change, node: Node) -> list[Step]:
    return [data.keep_point(change, node)] if change.before else []


def _level(change: Change, level: Level, node: Node) -> list[list[Step]]:
    first = [instances.run_one_shot(change, hook, node) for hook in level.hooks if hook.one_shot]
    starts = [instances.start(change, candidate, node) for candidate in level.candidates]
    inside = [instances.run_inside(hook, node) for hook in level.hooks if hook.inside]
    return [first, starts, inside]


def _group(members: list[Step]) -> list[Part]:
    return [Together(tuple(members))] if len(members) > 1 else list(members)


def _some(there: object, step: Step) -> list[Part]:
    return [step] if there else []
