"""What is needed of generations that were left: it goes along, as a clone of what it came from where that goes too,
else whole."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from daemon.lineage import BASE
from daemon.migrating import shared
from daemon.sending import Way
from dataplane.dataset import Dataset


class Past(NamedTuple):
    """The ways of kept generations, the guids of the volume's own snapshots that they begin from, and about how many
    bytes they take."""

    ways: tuple[Way, ...]
    origins: tuple[str, ...]
    stored: int


def past(way: Way, found: Sequence[Dataset], there: Sequence[Dataset], needed: Collection[str]) -> Past:
    """Decide it from all `found` of the volume on its machine, and what is `there` on the target, which stays."""
    ways, origins, stored, has = list[Way](), list[str](), 0, {one.guid for one in there}
    for left in (one for one in found if "@" not in one.name and one.marks.get("state") == "kept"):
        wanted = [one for one in along(_line(left.name, found), needed) if one.guid not in has]
        if not any(_is_needed(one, needed) for one in wanted):
            continue
        origin = next((one for one in found if one.name == left.origin), None)
        onto = _onto(origin, way, found, there) if origin else None
        origin = origin if onto else None
        stored += sum(one.alone for one in wanted) + max(0, left.refers - (origin.refers if origin else 0))
        origins += [origin.guid] if origin else []
        ways.append(
            replace(
                way,
                source=left.name,
                guid=left.guid,
                dataset=f"{way.dataset}-{len(ways) + 1}",
                base=None,
                origin=origin.name if origin else None,
                onto=onto,
                along=tuple(one.guid for one in wanted),
            )
        )
    # They all go at a time.
    slower = tuple(replace(each, rate=shared(way.rate, len(ways))) for each in ways)
    return Past(slower, tuple(origins), stored)


def along(line: Sequence[Dataset], needed: Collection[str]) -> list[Dataset]:
    """The snapshots of a line that go along: those that somebody needs, and those that other machines have too."""
    return [one for one in line if _is_needed(one, needed) or one.marks.get("state") == BASE]


def _is_needed(snapshot: Dataset, needed: Collection[str]) -> bool:
    """Whether deploy points do, which need those guids, or somebody named it."""
    return snapshot.guid in needed or "name" in snapshot.marks


def _line(dataset: str, found: Sequence[Dataset]) -> list[Dataset]:
    """The snapshots of one of them, oldest first."""
    return sorted((one for one in found if one.name.startswith(f"{dataset}@")), key=lambda one: one.order)


def _onto(origin: Dataset, way: Way, found: Sequence[Dataset], there: Sequence[Dataset]) -> str | None:
    """What the target has of it once the volume has come: it goes along, or is a part of what the volume begins as, or
    of another generation. None if it has nothing of it, or has it twice: ZFS looks for what a clone comes from by guid
    alone."""
    line = _line(way.source, found)
    if origin not in line:
        return None
    began, name = (way.base or "").partition("@")[0], origin.name.partition("@")[2]
    base = next((one for one in there if way.base and one.name == way.base), None)
    before = next((one.order for one in line if base and one.guid == base.guid), -1)
    comes, has = origin.order > before, [one for one in there if one.guid == origin.guid]
    if comes + len(has) != 1:
        return None
    if comes:
        return f"{way.dataset}@{name}"
    if base and any(one.name.startswith(f"{began}@") and one.order <= base.order for one in has):
        return f"{way.dataset}@{name}"
    return has[0].name
