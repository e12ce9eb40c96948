"""A change's instances and hooks: writers that stop, candidates that start, and what leaves in the end."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from daemon.change import Candidate, Change, Hook, Image, Old, Pause
from daemon.changing import secrets
from daemon.contents import contents
from daemon.node import Node
from daemon.primitive import Step, confirm
from runtime.instance import Mount, NotReady, Specification

PAUSE, GO_ON = "let writers stand still", "let writers go on"


def fetch(image: Image, node: Node) -> Step:
    """It is not undone: an image that nobody uses does no harm."""
    there = node.at(image.machine)
    if not image.source:
        effort = partial(there.instances.fetch, image.name, image.digest)
        return Step(f"have the image {image.name}", effort, machine=there.machine)
    source = node.at(image.source)

    async def bring() -> None:
        offer = await source.instances.offer(image.name, image.digest, image.machine)
        await there.instances.take(image.name, image.digest, offer)

    return Step(f"have the image {image.name} from {image.source}", bring, machine=there.machine)


def stop(old: Old, node: Node) -> Step:
    async def undo() -> None:
        if old.was_up:
            # A database that finds no room at all can neither end well nor start.
            await node.datasets.give_room()
            await node.instances.start(old.id)
            await node.instances.ready(old.id, old.check)
            await node.datasets.keep_room()

    return Step(
        f"stop {old.id}",
        lambda: node.instances.stop(old.id, old.grace),
        undo,
        restores=True,
        downtime=(old.service,),
        machine=node.machine,
    )


def pause(change: Change, writers: Pause, node: Node) -> Step:
    standing = partial(node.instances.pause, writers.instances, change.operation)
    going_on = partial(node.instances.go_on, writers.instances, change.operation)
    return Step(PAUSE, standing, going_on, restores=True, machine=node.machine)


def go_on(change: Change, writers: Pause, node: Node) -> Step:
    return Step(GO_ON, partial(node.instances.go_on, writers.instances, change.operation), machine=node.machine)


def start(change: Change, candidate: Candidate, node: Node) -> Step:
    id = candidate.specification.id

    async def do() -> None:
        mounts = [Mount(await _own_data(change, name, node), target) for target, name in candidate.data.items()]
        mounts += await _secrets(change, candidate.specification, candidate.secrets, node)
        files = contents(change.after, candidate.files)
        made = replace(candidate.specification, mounts=tuple(mounts), files=files)
        await node.instances.create(made, change.operation)
        await node.instances.start(id)
        await node.instances.ready(id, candidate.check)

    undo = partial(take_back, id, change.operation, node)
    return Step(f"start {id} and see it ready", do, undo, machine=node.machine)


async def _secrets(change: Change, made: Specification, named: Mapping[str, int], node: Node) -> list[Mount]:
    return await secrets.shown(made, change.operation, change.after.namespace, named, node)


async def take_back(id: str, by: str, node: Node) -> None:
    """Remove an instance that an operation made, and what it saw of secrets."""
    await node.instances.take_back(id, by)
    await node.vault.take_back(id, by)


async def _own_data(change: Change, name: str, node: Node) -> str:
    """Where a candidate's generation is mounted; no writer starts on one that is not this operation's."""
    dataset = await node.datasets.look(name)
    ours = dataset is not None and dataset.marks.get("operation") == change.operation
    confirm(ours, f"{name} is not the generation that this operation made")
    return await node.datasets.mount(name)


def run_one_shot(change: Change, hook: Hook, node: Node) -> Step:
    settings = hook.one_shot
    assert settings

    async def do() -> None:
        mounts = await _secrets(change, settings, hook.secrets, node)
        made = replace(settings, mounts=tuple(mounts), files=contents(change.after, hook.files))
        await node.instances.create(made, change.operation)
        await node.instances.start(settings.id)
        ended = await node.instances.ended(settings.id, hook.within)
        _require_success(hook, ended.code, ended.output)

    # It ends before its view does, and before old writers are put back: else it would reach those.
    undo = partial(take_back, settings.id, change.operation, node)
    says = f"run the hook of {hook.service}: {' '.join(hook.argv)}"
    return Step(says, do, undo, restores=True, machine=node.machine)


def run_inside(hook: Hook, node: Node) -> Step:
    inside = hook.inside
    assert inside

    async def do() -> None:
        ended = await node.instances.run(inside, hook.argv, hook.within)
        _require_success(hook, ended.code, ended.output)

    return Step(f"run the hook of {hook.service} in {inside}: {' '.join(hook.argv)}", do, machine=node.machine)


def _require_success(hook: Hook, code: int, output: str) -> None:
    if code != 0:
        said = "\n".join(output.splitlines()[-20:])
        raise NotReady(f"the hook of {hook.service} ({' '.join(hook.argv)}) exited with {code}", said)


def leave(old: Old, node: Node) -> Step:
    async def do() -> None:
        await node.instances.drained(old.id, old.ports, old.grace)
        await node.instances.stop(old.id, old.grace)
        await _remove(old.id, node)

    return Step(f"let {old.id} finish, and remove it", do, machine=node.machine)


def forget(hook: Hook, node: Node) -> Step:
    assert hook.one_shot
    return Step(f"remove {hook.one_shot.id}", partial(_remove, hook.one_shot.id, node), machine=node.machine)


async def _remove(id: str, node: Node) -> None:
    await node.instances.remove(id)
    await node.vault.remove(id)
