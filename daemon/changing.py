"""The steps of a change: names, writers, snapshots, clones, candidates; the commit; the flip, and what leaves."""

from dataclasses import replace
from functools import partial

from daemon import lineage
from daemon.change import Candidate, Change, Generation, Hook, Level, Name, Old
from daemon.node import Node, View
from daemon.primitive import Commit, Part, Step, Together, Told, confirm
from daemon.records import DeployPoint, Held, Service
from daemon.wire import Deployed, ResultInstance, ServiceResult, VolumeResult
from runtime.instance import Mount, NotReady

FLIP = "send everybody to what is committed"


def steps(change: Change, node: Node) -> list[Part]:
    """A pure function of the plan."""
    if change.nothing:
        return []
    stopping = [_stop(old, node) for old in change.stops]
    return [
        *_group([_fetch(image.name, image.digest, node) for image in change.images]),
        *_some(change.reserves, _reserve(change, node)),
        _see_candidates(change, node),
        *_group(stopping),
        *_some(change.snapshot, _snapshot(change, node)),
        *_group([_generation(change, generation, node) for generation in change.generations]),
        *(part for level in change.levels for part in _level(change, level, node)),
        Step("check that names, addresses and routes can follow", lambda: node.serving.check(change.after)),
        Commit(
            f"commit deploy {change.after.deploy} of {change.after.namespace}",
            do=lambda: node.records.commit(change.after, change.token),
            settle=lambda: node.records.settle(change.after.namespace, change.operation),
        ),
        *_group([_own(generation, node) for generation in change.generations]),
        Step(FLIP, lambda: node.serving.drop(change.operation)),
        *_group([_leave(old, node) for old in change.goes]),
        *_group([_forget(hook, node) for level in change.levels for hook in level.hooks if hook.one_shot]),
        *_group([_settle_lineage(change, generation, node) for generation in change.generations]),
        *_some(change.before, _keep_point(change, node)),
        *_some(change.releases, _release(change, node)),
    ]


def _group(members: list[Step]) -> list[Part]:
    return [Together(tuple(members))] if len(members) > 1 else list(members)


def _some(there: object, step: Step) -> list[Part]:
    return [step] if there else []


# ----------------------------------------------------------------------------------------- before the commit


def _fetch(image: str, digest: str, node: Node) -> Step:
    return Step(f"have the image {image}", lambda: node.instances.fetch(image, digest))


def _reserve(change: Change, node: Node) -> Step:
    namespace, by = change.after.namespace, change.operation

    async def do() -> None:
        for name in change.reserves:
            await node.records.reserve(name.kind, name.what, by, namespace)

    async def undo() -> None:
        for name in change.reserves:
            await node.records.release(name.kind, name.what, namespace, by)

    return Step(f"reserve {_spoken(change.reserves)}", do, undo)


def _see_candidates(change: Change, node: Node) -> Step:
    says = "let candidates see each other, and nobody else them"
    if change.stops:
        says += f"; send nobody to {_listed(change.stops)} any more"
    return Step(
        says,
        do=lambda: node.serving.show(view(change)),
        undo=lambda: node.serving.drop(change.operation),
        restores=True,
    )


def view(change: Change) -> View:
    """What the operation sees besides everybody."""
    candidates = [candidate for level in change.levels for candidate in level.candidates]
    one_shots = [hook.one_shot for level in change.levels for hook in level.hooks if hook.one_shot]
    members = [c.specification.ip for c in candidates] + [one_shot.ip for one_shot in one_shots]
    return View(
        operation=change.operation,
        namespace=change.after.namespace,
        candidates=tuple(_fresh(change, service) for service in _replaced(change)),
        members=tuple(ip for ip in members if ip),
        withdrawn=tuple(old.id for old in change.stops),
    )


def _replaced(change: Change) -> list[Service]:
    going = {candidate.service for level in change.levels for candidate in level.candidates}
    return [service for name, service in sorted(change.after.services.items()) if name in going]


def _fresh(change: Change, service: Service) -> Service:
    fresh = tuple(i for i in service.instances if i.operation == change.operation)
    return Service(**{f: getattr(service, f) for f in service.__struct_fields__} | {"instances": fresh})


def _stop(old: Old, node: Node) -> Step:
    async def undo() -> None:
        if old.was_up:
            await node.instances.start(old.id)
            await node.instances.ready(old.id, old.check)

    return Step(
        f"stop {old.id}", lambda: node.instances.stop(old.id, old.grace), undo, restores=True, downtime=(old.service,)
    )


def _snapshot(change: Change, node: Node) -> Step:
    names = [dataset.split("/")[-2] for dataset in change.snapshot]

    async def undo() -> None:
        for dataset in change.snapshot:
            await node.datasets.take_back(f"{dataset}@{change.operation}", change.operation)

    return Step(
        f"snapshot {', '.join(names)} at one instant",
        lambda: node.datasets.snapshot(change.snapshot, change.operation, change.operation),
        undo,
    )


def _generation(change: Change, new: Generation, node: Node) -> Step:
    by = change.operation
    undo = partial(node.datasets.take_back, new.dataset, by)
    if new.source is None:
        create = partial(node.datasets.create, new.dataset, by, new.marks, new.layout)
        return Step(f"make the volume {new.volume}", create, undo)
    clone = partial(node.datasets.clone, new.source, new.dataset, by, new.marks, new.layout)
    return Step(f"clone {new.volume} from {new.source.rpartition('@')[2]}", clone, undo)


def _level(change: Change, level: Level, node: Node) -> list[Part]:
    first = [_run_one_shot(change, hook, node) for hook in level.hooks if hook.one_shot]
    starts = [_start(change, candidate, node) for candidate in level.candidates]
    inside = [_run_inside(hook, node) for hook in level.hooks if hook.inside]
    return [*_group(first), *_group(starts), *_group(inside)]


def _start(change: Change, candidate: Candidate, node: Node) -> Step:
    id = candidate.specification.id

    async def do() -> None:
        mounts = [Mount(await _own_data(change, name, node), target) for target, name in candidate.data.items()]
        await node.instances.create(replace(candidate.specification, mounts=tuple(mounts)), change.operation)
        await node.instances.start(id)
        await node.instances.ready(id, candidate.check)

    return Step(f"start {id} and see it ready", do, lambda: node.instances.take_back(id, change.operation))


async def _own_data(change: Change, name: str, node: Node) -> str:
    """Where a candidate's generation is mounted; no writer starts on one that is not this operation's."""
    dataset = await node.datasets.look(name)
    ours = dataset is not None and dataset.marks.get("operation") == change.operation
    confirm(ours, f"{name} is not the generation that this operation made")
    return await node.datasets.mount(name)


def _run_one_shot(change: Change, hook: Hook, node: Node) -> Step:
    settings = hook.one_shot
    assert settings

    async def do() -> None:
        await node.instances.create(settings, change.operation)
        await node.instances.start(settings.id)
        ended = await node.instances.ended(settings.id, hook.within)
        _require_success(hook, ended.code, ended.output)

    undo = partial(node.instances.take_back, settings.id, change.operation)
    return Step(f"run the hook of {hook.service}: {' '.join(hook.argv)}", do, undo)


def _run_inside(hook: Hook, node: Node) -> Step:
    inside = hook.inside
    assert inside

    async def do() -> None:
        ended = await node.instances.run(inside, hook.argv, hook.within)
        _require_success(hook, ended.code, ended.output)

    return Step(f"run the hook of {hook.service} in {inside}: {' '.join(hook.argv)}", do)


def _require_success(hook: Hook, code: int, output: str) -> None:
    if code != 0:
        said = "\n".join(output.splitlines()[-20:])
        raise NotReady(f"the hook of {hook.service} ({' '.join(hook.argv)}) exited with {code}", said)


# ------------------------------------------------------------------------------------------ after the commit


def _own(new: Generation, node: Node) -> Step:
    return Step(
        f"mark the new generation of {new.volume} as current",
        lambda: node.datasets.mark(new.dataset, {"state": "current"}),
    )


def _leave(old: Old, node: Node) -> Step:
    async def do() -> None:
        await node.instances.drained(old.id, old.ports, old.grace)
        await node.instances.stop(old.id, old.grace)
        await node.instances.remove(old.id)

    return Step(f"let {old.id} finish, and remove it", do)


def _forget(hook: Hook, node: Node) -> Step:
    assert hook.one_shot
    return Step(f"remove {hook.one_shot.id}", partial(node.instances.remove, hook.one_shot.id))


def _settle_lineage(change: Change, new: Generation, node: Node) -> Step:
    old = change.before.volumes.get(new.volume) if change.before else None

    async def do() -> None:
        await lineage.make_independent(node.datasets, new.dataset)
        if old:
            await lineage.retire(node.datasets, change.dataset(old))
        await lineage.prune(node.datasets, lineage.volume_of(new.dataset))

    return Step(f"let the new generation of {new.volume} own its snapshots", do)


def _keep_point(change: Change, node: Node) -> Step:
    before = change.before

    async def do() -> None:
        assert before
        held = await _held(change, node)
        await node.records.keep_point(DeployPoint(before, held, change.operation, change.at))

    return Step(f"write deploy {before.deploy if before else 0} into the history", do)


async def _held(change: Change, node: Node) -> tuple[Held, ...]:
    """The snapshots of the point that is replaced, wherever promotions have taken them, by guid."""
    found = []
    for dataset in change.snapshot:
        folder = lineage.volume_of(dataset)
        name = folder.rpartition("/")[2]
        at = [d for d in await node.datasets.below(folder) if d.name.endswith(f"@{change.operation}")]
        confirm(len(at) == 1, f"the snapshot {change.operation} of the volume {name} is there {len(at)} times")
        found.append(Held(name, change.operation, at[0].guid))
    return tuple(found)


def _release(change: Change, node: Node) -> Step:
    async def do() -> None:
        for name in change.releases:
            await node.records.release(name.kind, name.what, change.after.namespace)

    return Step(f"release {_spoken(change.releases)}", do)


# ------------------------------------------------------------------------------------------------------ words


def _spoken(names: tuple[Name, ...]) -> str:
    addresses = [name for name in names if name.kind != "hostname"]
    hosts = [name.what for name in names if name.kind == "hostname"]
    counted = [f"{len(addresses)} address{'es' if len(addresses) > 1 else ''}"] if addresses else []
    return " and ".join([*counted, *hosts])


def _listed(olds: tuple[Old, ...]) -> str:
    return ", ".join(sorted({old.service for old in olds}))


# --------------------------------------------------------------------------------------------------- verifying


async def verify(change: Change, node: Node, told: Told) -> Deployed:
    """Ask the world whether every promise of the result holds. Raises NotSo."""
    await _confirm_instances(change, node)
    await _confirm_generations(change, node)
    differs = await node.serving.agrees(change.after)
    confirm(not differs, differs)
    return result(change, told)


async def _confirm_instances(change: Change, node: Node) -> None:
    conditions = {condition.id: condition for condition in await node.instances.all()}
    for service in change.after.services.values():
        for instance in service.instances:
            status = conditions[instance.id].status if instance.id in conditions else "not there"
            confirm(status == "running", f"the instance {instance.id} is {status}")
    for old in change.goes:
        confirm(old.id not in conditions, f"the old instance {old.id} is still there")


async def _confirm_generations(change: Change, node: Node) -> None:
    for new in change.generations:
        dataset = await node.datasets.look(new.dataset)
        state = dataset.marks.get("state") if dataset else "not there"
        confirm(state == "current", f"the generation {new.dataset} is {state}")


def result(change: Change, told: Told) -> Deployed:
    """What is answered, with the seconds that each service was down."""
    after, before = change.after, change.before
    services = [
        ServiceResult(name, action, _instances(after.services.get(name)))
        for name, action in sorted(change.actions.items())
    ]
    volumes = [
        VolumeResult(name, change.volume_actions[name], volume.machine, volume.generation)
        for name, volume in sorted(after.volumes.items())
    ]
    routes = [route for service in after.services.values() for route in service.routes]
    down = {old.service: told.seconds(f"stop {old.id}", FLIP) for old in change.stops}
    previous = before.deploy if before and not change.nothing else None
    return Deployed(after.namespace, after.deploy, previous, services, volumes, routes, down)


def _instances(service: Service | None) -> list[ResultInstance]:
    return [ResultInstance(i.id, i.machine, i.ip) for i in service.instances] if service else []
