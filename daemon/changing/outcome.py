"""Whether every promise of a change holds, and what is answered then."""

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
    differs = await node.serving.agrees(change.after)
    confirm(not differs, differs)
    return result(change, told)


async def confirm_instances(change: Change, node: Node) -> None:
    """What is committed runs, and what was to leave has left. Raises NotSo."""
    conditions = {condition.id: condition for condition in await node.instances.all()}
    touched = [service for name, service in change.after.services.items() if name not in change.left]
    for service in touched:
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
