"""A namespace without volumes that were lost: its next head, and what the volumes go on from."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from daemon.change import Generation, candidate_marks
from daemon.primitive import By
from daemon.records import Head, Volume
from daemon.wire import Loss
from dataplane.dataset import Layout


def head_after(before: Head, lost: Iterable[Loss], epochs: Mapping[str, int], by: By) -> Head:
    """Volumes of which there is something elsewhere are there, of the next epoch; the others are volumes no more."""
    volumes = {name: volume for name, volume in before.volumes.items() if name not in {one.name for one in lost}}
    for one in lost:
        if one.instead:
            old, epoch = before.volumes[one.name], epochs[one.name]
            volumes[one.name] = replace(old, machine=one.instead.machine, generation=by.operation, epoch=epoch)
    users = {
        name
        for name, service in before.services.items()
        if service.specification.volumes.keys() & {one.name for one in lost}
    }
    services = {name: replace(one, instances=()) if name in users else one for name, one in before.services.items()}
    return replace(before, services=services, volumes=volumes)


def generation(one: Loss, after: Head, roots: Mapping[str, str]) -> Generation:
    """The clone of what there is instead."""
    assert one.instead
    volume: Volume = after.volumes[one.name]
    folder = f"{roots[volume.machine]}/{after.namespace}/{one.name}"
    source = f"{folder}/{one.instead.generation}@{one.instead.snapshot}"
    layout = Layout(volume.quota, volume.owner, volume.mode)
    marks = candidate_marks(after.namespace, volume)
    return Generation(one.name, volume.machine, f"{folder}/{volume.generation}", source, layout, marks)
