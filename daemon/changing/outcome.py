"""Whether every promise of a change holds, and what is answered then."""

from daemon.belonging import unless_lost
from daemon.change import Change
from daemon.changing.serving import FLIP
from daemon.node import Node
from daemon.primitive import Told, confirm
from daemon.records import Service
from daemon.wire import Deployed, ResultInstance, ServiceResult, VolumeResult


async def verify(change: Change, node: Node, told: Told) -> Deployed:
    """Ask the world whether every promise of the result holds. Raises NotSo."""
    await confirm_instances(change, node)
    await _confirm_generations(change, node)
    await confirm_secrets(change, node)
    await confirm_served(change, node)
    return result(change, told)


async def confirm_instances(change: Change, node: Node) -> None:
    """What is committed runs, and what was to leave has left. Raises NotSo."""
    touched = [service for name, service in change.after.services.items() if name not in change.left]
    stays = [instance for service in touched for instance in service.instances if instance.machine not in change.away]
    machines = {instance.machine for instance in stays} | {old.machine for old in change.goes}
    statuses = dict[str, str]()
    for machine in sorted(machines):
        async with unless_lost(machine, node.members):
            statuses |= await node.at(machine).instances.statuses()
    for instance in stays:
        status = statuses.get(instance.id, "not there")
        confirm(status == "running", f"the instance {instance.id} is {status}")
    for old in change.goes:
        confirm(old.id not in statuses, f"the old instance {old.id} is still there")


async def confirm_served(change: Change, node: Node) -> None:
    """Every machine that can be asked sends people to the head. Raises NotSo."""
    for machine in change.serves:
        async with unless_lost(machine, node.members):
            differs = await node.at(machine).serving.agrees(change.after)
            confirm(not differs, differs)


async def _confirm_generations(change: Change, node: Node) -> None:
    for new in change.generations:
        dataset = await node.at(new.machine).datasets.look(new.dataset)
        state = dataset.marks.get("state") if dataset else "not there"
        confirm(state == "current", f"the generation {new.dataset} is {state}")


async def confirm_secrets(change: Change, node: Node) -> None:
    """What is committed of secrets is there. Raises NotSo."""
    if not change.secrets:
        return
    namespace = change.after.namespace
    record = await node.records.namespace(namespace)
    for name, newest in change.secrets.items():
        confirm(record.secrets.get(name) == newest, f"{namespace}/{name} is not what was committed")
        there = newest.version in await node.records.versions(namespace, name)
        confirm(there or newest.removed, f"version {newest.version} of {namespace}/{name} is not there")


def result(change: Change, told: Told) -> Deployed:
    """What is answered, with the seconds that each service was down."""
    after, before = change.after, change.before
    services = [
        ServiceResult(name, action, _instances(after.services.get(name)))
        for name, action in sorted(change.actions.items())
    ]
    named = {**(before.volumes if before else {}), **after.volumes}
    volumes = [
        VolumeResult(name, action, named[name].machine, named[name].generation)
        for name, action in sorted(change.volume_actions.items())
    ]
    routes = [route for service in after.services.values() for route in service.routes]
    down = {old.service: told.seconds(f"stop {old.id}", FLIP) for old in change.stops}
    previous = before.deploy if before and not change.nothing else None
    return Deployed(after.namespace, after.deploy, previous, services, volumes, routes, down)


def _instances(service: Service | None) -> list[ResultInstance]:
    return [ResultInstance(i.id, i.machine, i.ip) for i in service.instances] if service else []
