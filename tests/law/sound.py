"""What holds whenever no operation is open, whatever was asked: nothing is missing, and nothing is left over."""

from collections.abc import Iterator

import msgspec

from daemon.contents import committed
from daemon.lineage import ADOPTED, BASE, COPY, volume_of
from daemon.planning.names import held
from daemon.planning.secrets import of
from daemon.records import Cluster, DeployPoint, Head, Invitation, Namespace, Past, Reservation, Sealed, Volume
from dataplane.entry import parts
from runtime.instance import Mount
from tests.fakes.zfs import Kept
from tests.law.world import ROOT, Iron, World


def require_sound(world: World, otherwise: str) -> None:
    """Raises AssertionError, beginning with `otherwise`."""
    heads, points = heads_of(world), points_of(world)
    wrongs = [
        *world.wrongs,
        *_epochs(world),
        *_secrets(world, heads, points),
        *_names(world, heads),
        *_stores(world),
        *_named(world, heads),
    ]
    anywhere = {entry.guid for iron in world.irons() for name, entry in iron.zfs.kept.items() if "@" in name}
    named = {item.guid for point in points for item in point.data}
    wrongs += [f"the snapshot {guid} of a deploy point is gone" for guid in named - anywhere]
    for iron in world.irons():
        wrongs += [*_data(iron, world, heads, named), *_instances(iron, heads), *_files(iron, heads)]
        wrongs += _shown(world, iron, heads)
    assert not wrongs, f"{otherwise} {'; '.join(wrongs)}"


def _stores(world: World) -> list[str]:
    """One store takes changes: the one that the machine which carries operations out goes by, and it says so itself."""
    there = {name for iron in world.irons() for name in iron.moves.servers} & world.stores.stores.keys()
    open = {name for name in there if not world.stores.of(name).sealed}
    wrongs = [] if open == {world.moves.at} else [f"the stores {sorted(open)} are open, and {world.moves.at!r} counts"]
    cluster = msgspec.json.decode(world.kv.entries["cluster"].value, type=Cluster)
    if (cluster.moved, cluster.incarnation) != (world.moves.at, world.moves.incarnation) or cluster.closed:
        wrongs.append(f"the store {world.moves.at!r} says of itself {cluster}")
    return wrongs


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


def _data(iron: Iron, world: World, heads: list[Head], named: set[str]) -> list[str]:
    """Names point at generations that owe nothing to others of their volume; what is kept holds what somebody needs.

    Deploy points need snapshots (with the guids that are `named`), so do clones in other namespaces, and so does who
    moves back to a generation that was left, or from one to there: the newest that both machines have. What was adopted
    is left as it is.
    """
    current = {
        f"{ROOT}/{h.namespace}/{v.name}/{v.generation}"
        for h in heads
        for v in h.volumes.values()
        if v.machine == iron.name
    }
    kept = iron.zfs.kept
    wrongs = [f"{name} is not there" for name in current - kept.keys()]
    for name in current & kept.keys():
        if kept[name].marks.get("state") != "current" or not kept[name].mounted:
            wrongs.append(f"{name} is not mounted and current")
        if (kept[name].origin or "").startswith(f"{name.rpartition('/')[0]}/"):
            wrongs.append(f"{name} descends from {kept[name].origin}")
    generations = {name for name in kept if name.count("/") == ROOT.count("/") + 3 and "@" not in name}
    wrongs += [f"{name} is kept, and mounted" for name in generations - current if kept[name].mounted]
    there = {name: entry.guid for name, entry in kept.items() if "@" in name}
    needed = named & set(there.values())
    needed |= {kept[name].guid for name in there if "name" in kept[name].marks} | _for_moves(iron, world)
    needed |= {kept[one.origin].guid for name, one in kept.items() if name in current and one.origin}
    holding = {name.partition("@")[0] for name, guid in there.items() if guid in needed}
    adopted = {name for name in generations if kept[name].marks.get("state") == ADOPTED}
    there = {name: guid for name, guid in there.items() if name.partition("@")[0] not in adopted}
    wrongs += [f"{name} is left over" for name in generations - current - holding - adopted]
    # What a deploy point no longer needs, but its kept neighbours descend from, ZFS cannot let go.
    origins = {entry.origin for entry in kept.values()}
    wrongs += [f"{name} is left over" for name, guid in there.items() if guid not in needed and name not in origins]
    return wrongs + _folders(kept, generations)


def _for_moves(iron: Iron, world: World) -> set[str]:
    """What copies are of, also where their volume's machine has gone; what is in common; and of each volume as many
    older ones as there are other machines: what became of theirs, or of the copies of others there, is only seen to
    with the next change that frees."""
    kept = iron.zfs.kept
    copies = [name for name, one in kept.items() if "@" not in name and one.marks.get("state") == COPY]
    found = {kept[iron.zfs.snapshots(name)[-1]].guid for name in copies} | in_common(iron, world)
    for bases in _bases(iron).values():
        old = [kept[name].guid for name in bases if kept[name].guid not in found]
        found |= {*old[max(0, len(old) + 1 - len(world.irons())) :]}
    return found


def in_common(iron: Iron, world: World) -> set[str]:
    """Of each volume the newest that was left for moves, for each of the other machines that has it too."""
    found, kept = set[str](), iron.zfs.kept
    for other in world.irons():
        has = {one.guid for one in other.zfs.kept.values() if other is not iron}
        for bases in _bases(iron).values():
            found |= {*[kept[name].guid for name in bases if kept[name].guid in has][-1:]}
    return found


def _bases(iron: Iron) -> dict[str, list[str]]:
    """The snapshots that were left for moves, oldest first, by volume: by the epochs of their generations."""
    kept, found = iron.zfs.kept, dict[str, list[str]]()
    left = [name for name, one in kept.items() if "@" in name and one.marks.get("state") == BASE]
    epochs = {name: int(kept[name.partition("@")[0]].marks.get("epoch", "0")) for name in left}
    for name in sorted(left, key=lambda name: (epochs[name], kept[name].number)):
        found.setdefault(volume_of(name), []).append(name)
    return found


def _epochs(world: World) -> list[str]:
    """No two generations of a volume that one machine has are of one epoch, and the current one is of the newest. What
    is, or was, a copy is of that of the generation that it is a copy of; what was adopted, of another life."""
    wrongs, newest = [], dict[str, int]()
    current = {n: one for n, one in _generations(world).items() if one.marks.get("state") == "current"}
    for iron in world.irons():
        found: dict[str, list[int]] = {}
        for name, one in iron.zfs.kept.items():
            if "epoch" in one.marks and one.marks.get("state") != ADOPTED:
                found.setdefault(name.rpartition("/")[0], []).append(int(one.marks["epoch"]))
        wrongs += [f"{volume} on {iron.name} has {of}" for volume, of in found.items() if len({*of}) < len(of)]
        newest |= {volume: max(newest.get(volume, 0), *of) for volume, of in found.items()}
    for name, one in current.items():
        if int(one.marks["epoch"]) < newest[name.rpartition("/")[0]]:
            wrongs.append(f"{name} is current, but not of the newest epoch")
    return wrongs


def _named(world: World, heads: list[Head]) -> list[str]:
    """What somebody named of a volume is on the machine that the volume is on, if another one has it that also has
    something of the volume's line. What has nothing in common with that may be of another life."""
    irons = {iron.name: iron for iron in world.irons()}
    volumes = [(h.namespace, volume) for h in heads for volume in h.volumes.values() if volume.machine in irons]
    return [
        f"{at}, which somebody named on {iron.name}, is not on {volume.machine}"
        for namespace, volume in volumes
        for iron in irons.values()
        for at in _named_here(iron, irons[volume.machine], namespace, volume)
    ]


def _named_here(iron: Iron, home: Iron, namespace: str, volume: Volume) -> Iterator[str]:
    folder, of = f"{ROOT}/{namespace}/{volume.name}", {"namespace": namespace, "volume": volume.name}
    line = {home.zfs.kept[at].guid for at in home.zfs.snapshots(f"{folder}/{volume.generation}")}
    known = {one.guid for one in home.zfs.kept.values()}
    own = {at: one for at, one in iron.zfs.kept.items() if "@" in at and volume_of(at) == folder}
    if not line.isdisjoint(one.guid for one in own.values()):
        for at, one in own.items():
            if "name" in one.marks and of.items() <= one.marks.items() and one.guid not in known:
                yield at


def _generations(world: World) -> dict[str, Kept]:
    """The filesystems of all machines. No two machines have a generation of one name."""
    return {name: one for iron in world.irons() for name, one in iron.zfs.kept.items() if "@" not in name}


def _folders(kept: dict[str, Kept], generations: set[str]) -> list[str]:
    """Those of the namespace and its volumes are there as long as there is something in them."""
    volumes = {name.rpartition("/")[0] for name in generations}
    wanted = volumes | {name.rpartition("/")[0] for name in volumes}
    folders = {name for name in kept if name.startswith(f"{ROOT}/") and "@" not in name} - generations
    return [f"the folder {name} is left over" for name in folders - wanted]


def _instances(iron: Iron, heads: list[Head]) -> list[str]:
    """What runs is what is committed, each on the generation that its volume's name points at."""
    services = [(head, service) for head in heads for service in head.services.values()]
    wanted = {
        instance.id: (head, service)
        for head, service in services
        for instance in service.instances
        if instance.machine == iron.name
    }
    there = iron.instances.instances
    wrongs = [f"{id} is {'left over' if id in there else 'missing'} on {iron.name}"
              for id in wanted.keys() ^ {i for i, one in there.items() if one.by}]  # fmt: skip
    for id in wanted.keys() & there.keys():
        head, service = wanted[id]
        mounts = there[id].specification.mounts
        mounted = {mount.source for mount in mounts if not mount.read_only}
        folder = f"/fake/{ROOT}/{head.namespace}"
        names = {f"{folder}/{n}/{head.volumes[n].generation}" for n in service.specification.volumes}
        if mounted != names:
            wrongs.append(f"{id} runs on {mounted}, not on {names}")
    return wrongs


def _files(iron: Iron, heads: list[Head]) -> list[str]:
    """An instance has the files of its own deploy point, and nobody else has any."""
    wanted = {(id, by): files for head in heads for id, by, files in committed(head, iron.name)}
    return [] if wanted == iron.instances.files else [f"the files are {iron.instances.files}, not {wanted}"]


def _secrets(world: World, heads: list[Head], points: list[DeployPoint]) -> list[str]:
    """The versions that are there are the newest ones, and those that the head or a deploy point names."""
    those = [*heads, *(point.head for point in points)]
    named = {(one.namespace, *item) for one in those for item in of(one).items()}
    for namespace, record in _namespaces(world).items():
        named |= {(namespace, name, it.version) for name, it in record.secrets.items() if not it.removed}
    return [f"version {version} of {name} is {'missing' if (of_, name, version) in named else 'left over'}"
              for of_, name, version in named ^ versions_of(world).keys()]  # fmt: skip


def _shown(world: World, iron: Iron, heads: list[Head]) -> list[str]:
    """Each instance sees the values of the versions that are committed for it, read-only, and nobody else anything."""
    there = versions_of(world)
    wanted = {
        instance.id: {name: iron.vault.unseal(there[h.namespace, name, v]) for name, v in service.secrets.items()}
        for h in heads
        for service in h.services.values()
        for instance in service.instances
        if service.secrets and instance.machine == iron.name
    }
    mounted = {
        id
        for id, instance in iron.instances.instances.items()
        for mount in instance.specification.mounts
        if mount == Mount(f"/vault/{id}", "/run/secrets", read_only=True)
    }
    wrongs = [] if mounted == wanted.keys() else [f"{sorted(mounted)} see secrets, and {sorted(wanted)} should"]
    return wrongs if iron.vault.shown == wanted else [*wrongs, f"shown are {iron.vault.shown}, not {wanted}"]


def versions_of(world: World) -> dict[tuple[str, str, int], bytes]:
    """What is sealed, by namespace, name and version."""
    found = {}
    for key, entry in world.kv.entries.items():
        if key.startswith("secrets.") and (sealed := msgspec.json.decode(entry.value, type=Sealed)).ciphertext:
            _, namespace, name, version = parts(key)
            found[namespace, name, int(version)] = sealed.ciphertext
    return found


def _names(world: World, heads: list[Head]) -> list[str]:
    """What is reserved is what the heads stand on, and the subnets of who came, or may still come."""
    wanted: set[tuple[str, str]] = {(name.kind, name.what) for head in heads for name in held(head)}
    invitations = [entry.value for key, entry in world.kv.entries.items() if key.startswith("invitations.")]
    invited = [msgspec.json.decode(value, type=Invitation) for value in invitations]
    wanted |= {("subnet", each.subnet) for each in invited if not each.revoked}
    reserved = set()
    for key, entry in world.kv.entries.items():
        if key.startswith("reserved.") and msgspec.json.decode(entry.value, type=Reservation).operation:
            _, kind, what = parts_of(key)
            reserved.add((kind, what))
    return [f"the {kind} {what} is reserved wrongly, or not" for kind, what in wanted ^ reserved]


def parts_of(key: str) -> tuple[str, str, str]:
    first, second, third = parts(key)
    return first, second, third
