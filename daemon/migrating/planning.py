"""Decide where a service's instances and volumes go: pure functions of records, and of what was seen."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from daemon.change import Change, Image, Level, candidate_marks
from daemon.lineage import BASE, is_unnamed, volume_of
from daemon.migrating import CARRIES, MOST, SOON, STARTS, Move, rounds
from daemon.migrating.goals import Goal
from daemon.migrating.past import along, past
from daemon.planning import NO_TOKEN, Seen, leaving
from daemon.planning.instances import Next, candidates
from daemon.planning.names import released, reserved
from daemon.primitive import By
from daemon.records import DeployPoint, Head, Namespace, Running, Service, Volume
from daemon.sending import Way
from daemon.wire import Expected, Foreseen, Supply
from dataplane.dataset import Dataset, Layout


def head_after(record: Namespace, service: str, goal: Goal, addresses: Sequence[str], by: By) -> Head:
    """The head as it will be: the service's instances, at these addresses, and volumes are where the goal has them."""
    before = record.head
    assert before
    fresh = tuple(
        Running(f"{before.namespace}-{service}-{number}-{by.operation}", machine, address, by.operation)
        for number, (machine, address) in enumerate(zip(goal.machines, addresses, strict=True), len(goal.stays) + 1)
    )
    volumes = {
        name: replace(before.volumes[name], machine=to, generation=by.operation, epoch=record.next_epoch(name))
        for name, to in goal.volumes.items()
    }
    services = dict(before.services)
    if service:
        services[service] = replace(services[service], instances=goal.stays + fresh)
    return replace(before, services=services, volumes={**before.volumes, **volumes})


def change(before: Head, after: Head, service: str, seen: Seen, by: By) -> Change:
    """The instances' part: those that start, those that leave, and who is sent where. A writer stops before."""
    goes = tuple(leaving(before, after, seen))
    nexts = [_next(before.services[name], after.services[name], by) for name in before.services if name == service]
    stops_first = any(each.specification.volumes or each.specification.update == "recreate" for each in nexts)
    roots = {one.machine: seen.machines[one.machine].root for each in nexts for one in (*each.kept, *each.fresh)}
    made = tuple(one for each in nexts for one in candidates(each, after, roots))
    moved = [name for name, volume in after.volumes.items() if volume.generation == by.operation]
    return Change(
        operation=by.operation,
        token=by.tokens.get(after.namespace, NO_TOKEN),
        before=before,
        after=after,
        actions=dict.fromkeys((each.name for each in nexts), "replace"),
        volume_actions=dict.fromkeys(moved, "replace"),
        images=tuple(image for each in nexts for image in _images(each, seen)),
        reserves=reserved(before, after, ()),
        releases=released(before, after, ()),
        stops=goes if stops_first else (),
        goes=goes,
        snapshot=(),
        copied=(),
        generations=(),
        levels=(Level((), made),) if made else (),
        serves=tuple(sorted(seen.machines.keys() - seen.away.keys())),
        roots=roots,
        at=by.at,
        left=tuple(sorted(before.services.keys() - {service})),
        away=tuple(sorted(seen.away)),
    )


def _next(old: Service, new: Service, by: By) -> Next:
    kept = tuple(one for one in new.instances if one.operation != by.operation)
    fresh = tuple(one for one in new.instances if one.operation == by.operation)
    about = (new.name, new.specification, new.digest, new.identity)
    return Next(*about, old, kept, fresh, hook=(), secrets=new.secrets, stopped=new.stopped)


def _images(each: Next, seen: Seen) -> tuple[Image, ...]:
    there = {one.machine for one in each.fresh} if each.specification.runtime == "docker" else set()
    return tuple(Image(name, each.image, each.digest, seen.giver(each.digest, name)) for name in sorted(there))


# ------------------------------------------------------------------------------------------------------ data


class Ends(NamedTuple):
    """What was seen of a volume: as it is `now`, its `line` of snapshots, oldest first, and all that was `found` of it
    there; and on the target all that is `there` of the volume, and the `free` bytes."""

    now: Dataset
    line: Sequence[Dataset]
    there: Sequence[Dataset]
    free: int
    found: Sequence[Dataset]


def move(way: Way, volume: Volume, ends: Ends, points: Sequence[DeployPoint], by: By) -> Move:
    """How the volume, as the next head has it, gets there, with what deploy points need of it."""
    base, namespace, names = common(ends.line, ends.there), way.dataset.split("/")[-3], needed(points)
    way = replace(way, guid=ends.now.guid, base=base.name if base else None)
    there = {one.guid for one in ends.there}
    older = past(way, ends.found, ends.there, names)
    way = replace(way, along=tuple(one.guid for one in along(ends.line, {*names, *older.origins})))
    goes = there | {guid for each in (way, *older.ways) for guid in each.along}
    stored = estimate(ends.now, ends.line, base) + older.stored
    return Move(
        volume=volume,
        way=way,
        rounds=rounds(by.operation),
        marks=candidate_marks(namespace, volume),
        layout=Layout(volume.quota, volume.owner, volume.mode),
        stored=stored,
        bytes=int(stored * ends.now.ratio),
        free=ends.free,
        past=older.ways,
        behind=tuple(sorted(stays(namespace, volume.name, points, goes))),
        keeping=tuple(name for name, has in ((way.machine, ends.found), (way.to, ends.there)) if keeps(has)),
    )


def keeps(has: Iterable[Dataset]) -> bool:
    """Whether a machine has something of a volume that was kept because another one has it too."""
    return any(one.marks.get("state") == BASE for one in has)


def common(line: Sequence[Dataset], there: Iterable[Dataset]) -> Dataset | None:
    """The snapshot on the target that a volume begins as: the newest that a copy of it has, or a generation that was
    left there, of those that its own line of snapshots (oldest first) has too."""
    found = list(there)
    unnamed = {one.name for one in found if is_unnamed(one)}
    known = {one.guid: one for one in found if one.name.partition("@")[0] in unnamed and "@" in one.name}
    return next((known[one.guid] for one in reversed(line) if one.guid in known), None)


def estimate(now: Dataset, line: Sequence[Dataset], base: Dataset | None) -> int:
    """About how many bytes are stored of what goes: all that it has, or what changed since; ZFS knows what snapshots
    hold alone."""
    since = next((one for one in line if base and one.guid == base.guid), None)
    if not since:
        return now.refers + sum(one.alone for one in line)
    behind = line[line.index(since) :]
    return max(0, now.refers - since.refers) + sum(one.alone for one in behind)


def expected(bytes: int, rate: int | None) -> tuple[int, float]:
    """How many rounds there will be, and how long the last one takes, in seconds; each is taken for a tenth of the one
    before."""
    seconds, number = bytes / min(CARRIES, rate or CARRIES), 1
    while seconds > SOON and number < MOST:
        seconds, number = seconds / 10, number + 1
    return number + 1, seconds


def needed(points: Iterable[DeployPoint]) -> set[str]:
    """The guids of the snapshots that deploy points hold their data in."""
    return {held.guid for point in points for held in point.data}


def stays(namespace: str, volume: str, points: Iterable[DeployPoint], goes: Collection[str]) -> Iterator[int]:
    """The deploy points of a volume whose data does not go along: it is in generations of before."""
    own = (point for point in points if point.head.namespace == namespace)
    for point in own:
        if any(held.volume == volume and held.guid not in goes for held in point.data):
            yield point.head.deploy


def foreign(names: Iterable[str], found: Mapping[str, Dataset | None]) -> str:
    """The first of these datasets that is there, and bears no mark of ours; empty if there is none."""
    return next((name for name in names if (one := found[name]) and "operation" not in one.marks), "")


def parents(dataset: str) -> tuple[str, str]:
    """The folders of a generation's namespace and of its volume."""
    folder = volume_of(dataset)
    return volume_of(folder), folder


def given(change: Change, supplied: Iterable[Supply]) -> Change:
    """The change, with each image from where it comes."""
    sources = {(one.to, one.image): one.source for one in supplied}
    images = tuple(replace(image, source=sources[image.machine, image.name]) for image in change.images)
    return replace(change, images=images)


def foreseen(change: Change, moves: Sequence[Move], supplied: Iterable[Supply]) -> Foreseen:
    """What a preview says of it all. Who stops before the others start is down, also without volumes."""
    expected = tuple(told(move) for move in moves)
    down = max((one.downtime_s for one in expected), default=STARTS) if change.stops else None
    return Foreseen(expected, tuple(supplied), down)


def told(move: Move) -> Expected:
    """What a preview says of it."""
    rounds, last = expected(move.bytes, move.way.rate)
    down = round(last + STARTS, 1)
    return Expected(move.volume.name, move.way.machine, move.way.to, move.bytes, rounds, move.free, down)
