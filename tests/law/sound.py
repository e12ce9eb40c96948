"""What holds whenever no operation is open, whatever was asked: nothing is missing, and nothing is left over."""

import msgspec

from daemon.contents import committed
from daemon.planning.names import held
from daemon.records import DeployPoint, Head, Namespace, Reservation
from dataplane.entry import parts
from tests.law.world import ROOT, World


def require_sound(world: World, otherwise: str) -> None:
    """Raises AssertionError, beginning with `otherwise`."""
    heads, points = heads_of(world), points_of(world)
    wrongs = [
        *world.wrongs,
        *_data(world, heads, points),
        *_instances(world, heads),
        *_files(world, heads),
        *_names(world, heads),
    ]
    assert not wrongs, f"{otherwise} {'; '.join(wrongs)}"


def head_of(world: World, namespace: str = "shop") -> Head | None:
    return next((head for head in heads_of(world) if head.namespace == namespace), None)


def heads_of(world: World) -> list[Head]:
    entries = [entry for key, entry in world.kv.entries.items() if key.startswith("namespaces.")]
    heads = [msgspec.json.decode(entry.value, type=Namespace).head for entry in entries]
    return [head for head in heads if head]


def points_of(world: World) -> list[DeployPoint]:
    return [
        msgspec.json.decode(entry.value, type=DeployPoint)
        for key, entry in world.kv.entries.items()
        if key.startswith("deploys.")
    ]


def _data(world: World, heads: list[Head], points: list[DeployPoint]) -> list[str]:
    """Names point at generations that owe nothing to others of their volume; what is kept holds what somebody needs.

    Deploy points need snapshots, and so do clones in other namespaces.
    """
    current = {f"{ROOT}/{h.namespace}/{v.name}/{v.generation}" for h in heads for v in h.volumes.values()}
    kept = world.zfs.kept
    wrongs = [f"{name} is not there" for name in current - kept.keys()]
    for name in current & kept.keys():
        if kept[name].marks.get("state") != "current" or not kept[name].mounted:
            wrongs.append(f"{name} is not mounted and current")
        if (kept[name].origin or "").startswith(f"{name.rpartition('/')[0]}/"):
            wrongs.append(f"{name} descends from {kept[name].origin}")
    generations = {name for name in kept if name.count("/") == ROOT.count("/") + 3 and "@" not in name}
    wrongs += [f"{name} is left over" for name in generations - current if not world.zfs.snapshots(name)]
    wrongs += [f"{name} is kept, and mounted" for name in generations - current if kept[name].mounted]
    needed = {item.guid for point in points for item in point.data}
    needed |= {kept[one.origin].guid for name, one in kept.items() if name in current and one.origin}
    there = {entry.guid for name, entry in kept.items() if "@" in name}
    wrongs += [f"the snapshot {guid} of a deploy point is gone" for guid in needed - there]
    return wrongs + [f"the snapshot {guid} is left over" for guid in there - needed]


def _instances(world: World, heads: list[Head]) -> list[str]:
    """What runs is what is committed, each on the generation that its volume's name points at."""
    services = [(head, service) for head in heads for service in head.services.values()]
    wanted = {instance.id: (head, service) for head, service in services for instance in service.instances}
    wrongs = [f"{id} is {'left over' if id in world.instances.instances else 'missing'}"
              for id in wanted.keys() ^ {i for i, one in world.instances.instances.items() if one.by}]  # fmt: skip
    for id in wanted.keys() & world.instances.instances.keys():
        head, service = wanted[id]
        mounted = {mount.source for mount in world.instances.instances[id].specification.mounts}
        folder = f"/fake/{ROOT}/{head.namespace}"
        names = {f"{folder}/{n}/{head.volumes[n].generation}" for n in service.specification.volumes}
        if mounted != names:
            wrongs.append(f"{id} runs on {mounted}, not on {names}")
    return wrongs


def _files(world: World, heads: list[Head]) -> list[str]:
    """An instance has the files of its own deploy point, and nobody else has any."""
    wanted = {(id, by): files for head in heads for id, by, files in committed(head)}
    return [] if wanted == world.instances.files else [f"the files are {world.instances.files}, not {wanted}"]


def _names(world: World, heads: list[Head]) -> list[str]:
    """What is reserved is what the heads stand on."""
    wanted = {(name.kind, name.what) for head in heads for name in held(head)}
    reserved = set()
    for key, entry in world.kv.entries.items():
        if key.startswith("reserved.") and msgspec.json.decode(entry.value, type=Reservation).operation:
            _, kind, what = parts_of(key)
            reserved.add((kind, what))
    return [f"the {kind} {what} is reserved wrongly, or not" for kind, what in wanted ^ reserved]


def parts_of(key: str) -> tuple[str, str, str]:
    first, second, third = parts(key)
    return first, second, third
