"""What holds whenever no operation is open, whatever was asked: nothing is missing, and nothing is left over."""

import msgspec

from daemon.contents import committed
from daemon.planning.names import held
from daemon.planning.secrets import of
from daemon.records import DeployPoint, Head, Namespace, Past, Reservation, Sealed
from dataplane.entry import parts
from runtime.instance import Mount
from tests.fakes.zfs import Kept
from tests.law.world import ROOT, World


def require_sound(world: World, otherwise: str) -> None:
    """Raises AssertionError, beginning with `otherwise`."""
    heads, points = heads_of(world), points_of(world)
    wrongs = [
        *world.wrongs,
        *_data(world, heads, points),
        *_instances(world, heads),
        *_files(world, heads),
        *_secrets(world, heads, points),
        *_shown(world, heads),
        *_names(world, heads),
    ]
    assert not wrongs, f"{otherwise} {'; '.join(wrongs)}"


def head_of(world: World, namespace: str = "shop") -> Head | None:
    return next((head for head in heads_of(world) if head.namespace == namespace), None)


def heads_of(world: World) -> list[Head]:
    return [record.head for record in _namespaces(world).values() if record.head]


def _namespaces(world: World) -> dict[str, Namespace]:
    records = {key: entry for key, entry in world.kv.entries.items() if key.startswith("namespaces.")}
    return {parts(key)[-1]: msgspec.json.decode(entry.value, type=Namespace) for key, entry in records.items()}


def points_of(world: World) -> list[DeployPoint]:
    """Those that are not forgotten."""
    found = [entry.value for key, entry in world.kv.entries.items() if key.startswith("deploys.")]
    past = [msgspec.json.decode(value, type=Past) for value in found]
    return [one.point for one in past if one.point]


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
    wrongs += [f"{name} is kept, and mounted" for name in generations - current if kept[name].mounted]
    needed = {item.guid for point in points for item in point.data}
    needed |= {entry.guid for name, entry in kept.items() if "@" in name and "name" in entry.marks}
    needed |= {kept[one.origin].guid for name, one in kept.items() if name in current and one.origin}
    there = {name: entry.guid for name, entry in kept.items() if "@" in name}
    holding = {name.partition("@")[0] for name, guid in there.items() if guid in needed}
    wrongs += [f"{name} is left over" for name in generations - current - holding]
    wrongs += [f"the snapshot {guid} of a deploy point is gone" for guid in needed - set(there.values())]
    # What a deploy point no longer needs, but its kept neighbours descend from, ZFS cannot let go.
    origins = {entry.origin for entry in kept.values()}
    wrongs += [f"{name} is left over" for name, guid in there.items() if guid not in needed and name not in origins]
    return wrongs + _folders(kept, generations)


def _folders(kept: dict[str, Kept], generations: set[str]) -> list[str]:
    """Those of the namespace and its volumes are there as long as there is something in them."""
    volumes = {name.rpartition("/")[0] for name in generations}
    wanted = volumes | {name.rpartition("/")[0] for name in volumes}
    folders = {name for name in kept if name.startswith(f"{ROOT}/") and "@" not in name} - generations
    return [f"the folder {name} is left over" for name in folders - wanted]


def _instances(world: World, heads: list[Head]) -> list[str]:
    """What runs is what is committed, each on the generation that its volume's name points at."""
    services = [(head, service) for head in heads for service in head.services.values()]
    wanted = {instance.id: (head, service) for head, service in services for instance in service.instances}
    wrongs = [f"{id} is {'left over' if id in world.instances.instances else 'missing'}"
              for id in wanted.keys() ^ {i for i, one in world.instances.instances.items() if one.by}]  # fmt: skip
    for id in wanted.keys() & world.instances.instances.keys():
        head, service = wanted[id]
        mounts = world.instances.instances[id].specification.mounts
        mounted = {mount.source for mount in mounts if not mount.read_only}
        folder = f"/fake/{ROOT}/{head.namespace}"
        names = {f"{folder}/{n}/{head.volumes[n].generation}" for n in service.specification.volumes}
        if mounted != names:
            wrongs.append(f"{id} runs on {mounted}, not on {names}")
    return wrongs


def _files(world: World, heads: list[Head]) -> list[str]:
    """An instance has the files of its own deploy point, and nobody else has any."""
    wanted = {(id, by): files for head in heads for id, by, files in committed(head)}
    return [] if wanted == world.instances.files else [f"the files are {world.instances.files}, not {wanted}"]


def _secrets(world: World, heads: list[Head], points: list[DeployPoint]) -> list[str]:
    """The versions that are there are the newest ones, and those that the head or a deploy point names."""
    those = [*heads, *(point.head for point in points)]
    named = {(one.namespace, *item) for one in those for item in of(one).items()}
    for namespace, record in _namespaces(world).items():
        named |= {(namespace, name, it.version) for name, it in record.secrets.items() if not it.removed}
    return [f"version {version} of {name} is {'missing' if (of_, name, version) in named else 'left over'}"
              for of_, name, version in named ^ versions_of(world).keys()]  # fmt: skip


def _shown(world: World, heads: list[Head]) -> list[str]:
    """Each instance sees the values of the versions that are committed for it, read-only, and nobody else anything."""
    there = versions_of(world)
    wanted = {
        instance.id: {name: world.vault.unseal(there[h.namespace, name, v]) for name, v in service.secrets.items()}
        for h in heads
        for service in h.services.values()
        for instance in service.instances
        if service.secrets
    }
    mounted = {
        id
        for id, instance in world.instances.instances.items()
        for mount in instance.specification.mounts
        if mount == Mount(f"/vault/{id}", "/run/secrets", read_only=True)
    }
    wrongs = [] if mounted == wanted.keys() else [f"{sorted(mounted)} see secrets, and {sorted(wanted)} should"]
    return wrongs if world.vault.shown == wanted else [*wrongs, f"shown are {world.vault.shown}, not {wanted}"]


def versions_of(world: World) -> dict[tuple[str, str, int], bytes]:
    """What is sealed, by namespace, name and version."""
    found = {}
    for key, entry in world.kv.entries.items():
        if key.startswith("secrets.") and (sealed := msgspec.json.decode(entry.value, type=Sealed)).ciphertext:
            _, namespace, name, version = parts(key)
            found[namespace, name, int(version)] = sealed.ciphertext
    return found


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
