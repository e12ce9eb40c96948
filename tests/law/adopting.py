"""What a machine that joins brings along of a life before, as scenarios for tests and for the hunt."""

from collections.abc import Callable
from functools import cache

import msgspec
from msgspec import structs

from daemon import letters
from daemon.membership import Membership
from daemon.records import Cluster
from daemon.wire import Admitted, Join, MachineAdmit, Mutation, NamespaceRm, VolumePurge, VolumeRestore
from dataplane.entry import Entry
from tests.fakes.zfs import Kept
from tests.law.cases import BACK, GIVES, NAMED, PR, PURGE, secret, shop
from tests.law.sound import require_sound
from tests.law.world import ROOT, World, _record, ask, founded

LIVED: tuple[Mutation, ...] = (secret(b"one"), shop(more=GIVES), NAMED, shop(db=2, more=GIVES), BACK, PR)
"""A life that leaves current and kept generations, named snapshots, clones, and instances that see secrets."""
JOINS = "op-join"
LETTER = letters.Letter(
    *("op-invite", "prod", "the-mesh", "10.210.0.0/16", "192.0.2.9:51820", "key", "10.210.223.1", "secret"),
    *("10.210.223.2", "2026-01-01T01:00:00.000Z", None),
)
JOIN = Join(letters.token(LETTER))


@cache
def lived(openzfs: bool) -> World:
    world = founded(openzfs=openzfs)
    for number, request in enumerate(LIVED):
        assert ask(world, request, f"op-{number}") == "done"
        world.write_row(f"row {number}")
    return world


def returned(*, openzfs: bool = False) -> World:
    """A machine of whose life before nothing is recorded any more, and that is let in wherever it knocks.

    Its records stay where they are: those of the mesh that it comes to are as empty as its own.
    """
    world = lived(openzfs).copy()
    world.kv.entries = dict(founded().kv.entries)
    become = world.mesh.become

    async def knock(letter: bytes, asked: MachineAdmit, *, preview: bool) -> Admitted | None:
        machine = structs.replace(_record("m1"), id=asked.id, state="joining")

        def let_in() -> None:
            write(world, "machines.m1", machine)

        if preview:
            return None
        await world.touch("mesh knock", let_in)
        here, mesh = msgspec.to_builtins(machine), structs.replace(cluster(world), id=LETTER.cluster, mesh=True)
        return Admitted(msgspec.to_builtins(mesh), here, {"m1": here})

    async def be(wanted: Membership) -> None:
        await become(wanted)
        write(world, "cluster", structs.replace(cluster(world), closed=""))

    world.mesh.door, world.mesh.become = knock, be  # type: ignore[method-assign]
    return world


def cluster(world: World) -> Cluster:
    return msgspec.json.decode(world.kv.entries["cluster"].value, type=Cluster)


def write(world: World, key: str, record: object) -> None:
    world.kv.revision += 1
    world.kv.entries[key] = Entry(msgspec.json.encode(record), world.kv.revision)


def generations(world: World) -> dict[str, Kept]:
    return {
        name: one for name, one in world.zfs.kept.items() if name.count("/") == ROOT.count("/") + 3 and "@" not in name
    }


def snapshots(world: World) -> dict[str, dict[str, bytes]]:
    """What they hold, by guid."""
    return {one.guid: one.content for name, one in world.zfs.kept.items() if "@" in name}


def joined() -> World:
    world = returned()
    assert ask(world, JOIN, JOINS) == "done"
    return world


def newest(world: World, generation: str) -> str:
    return world.zfs.snapshots(generation)[-1]


def require_adopted(world: World, before: World) -> None:
    """All that was there is there, can be restored, and is written by nobody."""
    held, now = snapshots(world), generations(world)
    for guid, content in snapshots(before).items():
        assert held.get(guid) == content, f"a snapshot that was there is gone: {guid}"
    for name, one in generations(before).items():
        assert name in now, f"{name} is gone"
        assert (now[name].marks["state"], now[name].mounted) == ("adopted", False), f"{name} is not adopted"
        assert world.zfs.kept[newest(world, name)].content == one.content, f"what {name} held cannot be restored"
    assert not world.instances.instances, "what ran there before runs on"
    assert not world.vault.shown, "what ran there before left its secrets"


def what_it_brings_is_adopted() -> None:
    before = returned()
    assert len(generations(before)) >= 3
    assert {one.marks["state"] for one in generations(before).values()} == {"current", "kept"}
    assert before.instances.instances
    require_adopted(joined(), before)


def nothing_of_it_goes_with_what_is_done_later() -> None:
    """Neither what has its names, nor what has others, nor what forgets and purges."""
    before, world = returned(), joined()
    later: tuple[Mutation, ...] = (
        *(shop(keep=1), shop(db=2, keep=1), shop(db=3, keep=1), BACK, PURGE),
        *(shop(namespace="third"), NamespaceRm("third", purge=True), NamespaceRm("pr-42", purge=True)),
    )
    for number, request in enumerate(later):
        assert ask(world, request, f"op-later-{number}") == "done", request
    require_adopted(world, before)


def what_was_adopted_is_restored_and_purged_like_others() -> None:
    """Also under its own name, which is nobody's; what is deployed there later leaves it as it was."""
    before, world = returned(), joined()
    [current] = [
        name for name, one in generations(before).items() if "/shop/" in name and one.marks["state"] == "current"
    ]
    snapshot = newest(world, current).partition("@")[2]
    for at, namespace in enumerate(("shop", "back")):
        restore = VolumeRestore("shop", "data", snapshot, namespace, "data")
        assert ask(world, restore, f"op-restore-{at}") == "done"
        restored = world.zfs.kept[f"{ROOT}/{namespace}/data/op-restore-{at}"]
        assert restored.content == before.zfs.kept[current].content
    for number, request in enumerate((shop(keep=1), shop(db=2, keep=1), shop(db=3, keep=1))):
        assert ask(world, request, f"op-later-{number}") == "done"
    world.instances.instances, running = {}, world.instances.instances
    require_adopted(world, before)
    world.instances.instances = running
    assert ask(world, VolumePurge("shop", "data", snapshot="before"), "op-purge") == "done"
    for number, name in enumerate(generations(before)):
        namespace, volume, generation = name.split("/")[-3:]
        assert ask(world, VolumePurge(namespace, volume, kept=generation), f"op-purge-{number}") == "done"
    assert not generations(world).keys() & generations(before).keys()
    assert ask(world, NamespaceRm("back", purge=True), "op-purge-back") == "done"
    require_sound(world, "all that was adopted was purged, but")


ALL: tuple[Callable[[], None], ...] = (
    what_it_brings_is_adopted,
    nothing_of_it_goes_with_what_is_done_later,
    what_was_adopted_is_restored_and_purged_like_others,
)
