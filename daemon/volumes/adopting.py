"""What a machine that joins has in its pool of a life before: nobody's current data any more, and nobody's to destroy.

A generation that was current there is none in the mesh, whatever its marks say: the mesh may have gone on elsewhere.
"""

from collections.abc import Iterable, Iterator
from functools import partial

from msgspec import Struct

from daemon.lineage import ADOPTED
from daemon.node import Node
from daemon.primitive import Step, confirm
from daemon.volumes import needs
from daemon.wire import AdoptedGeneration
from dataplane.dataset import Dataset

GRACE = 10.0
"""Seconds that what still runs there has to end by itself."""


class Brought(Struct, frozen=True):
    """A generation by its full name, and the name of the snapshot that is taken of it."""

    dataset: str
    snapshot: str

    @property
    def said(self) -> str:
        namespace, volume, generation = self.dataset.split("/")[-3:]
        return f"{namespace}/{volume} ({generation})"


def brought(root: str, below: Iterable[Dataset], by: str) -> Iterator[Brought]:
    """The generations below a root, of whatever cluster; of one volume each has a snapshot of another name."""
    found = [one for one in below if "@" not in one.name and one.marks and one.name.removeprefix(root).count("/") == 3]
    for number, one in enumerate(found, 1):
        yield Brought(one.name, f"{by}-{number}")


def remove(instance: str, node: Node) -> Step:
    """Whatever still runs there writes what nobody reads, at an address that is another's."""

    async def do() -> None:
        await node.instances.stop(instance, GRACE)
        await node.instances.remove(instance)
        await node.vault.remove(instance)

    return Step(f"remove {instance}, which ran here before", do)


def adopt(one: Brought, by: str, node: Node) -> Step:
    return Step(f"adopt {one.said}, which is in this machine's pool", partial(_adopt, one, by, node))


async def _adopt(one: Brought, by: str, node: Node) -> None:
    """It is only adopted once a snapshot holds it: that can be restored. What was adopted before is as it was.

    Where the plug was pulled, what was acknowledged last is in its intent log, which no snapshot has; a mount brings it
    in.
    """
    datasets = node.datasets
    there = await datasets.look(one.dataset)
    if there and there.marks.get("state") != ADOPTED:
        await datasets.mount(one.dataset)
        await datasets.snapshot([one.dataset], one.snapshot, by)
        await datasets.unmount(one.dataset)
        await datasets.mark(one.dataset, {"state": ADOPTED})


async def confirm_adopted(one: Brought, node: Node) -> AdoptedGeneration:
    """What can be restored of it, from its newest snapshot. Raises NotSo where that is not sure, or it is mounted."""
    there = await node.datasets.look(one.dataset)
    state = there.marks.get("state") if there else "not there"
    confirm(there and state == ADOPTED and there.path is None, f"the generation {one.dataset} is {state}")
    assert there
    held = needs.snapshots(one.dataset, await node.datasets.below(one.dataset))
    confirm(held, f"there is no snapshot of {one.dataset}")
    namespace, volume, generation = one.dataset.split("/")[-3:]
    return AdoptedGeneration(namespace, volume, generation, held[-1].name.partition("@")[2], there.used)
