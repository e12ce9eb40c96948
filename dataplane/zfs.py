"""The datasets of this machine: made, marked, snapshotted, cloned and removed by ZFS, and read back after each change.

What is made is made first and looked at once, afterwards: ZFS itself makes nothing over what is there, and the
look tells whose it is. What is destroyed is looked at before.

One code for OpenZFS and zfs-fuse, by what each is able to do (`zfs_abilities`).
"""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

from dataplane.dataset import MARK, MARKS, Dataset, Layout, NoRoom, NotOurs, PoolUnavailable, Space, ZfsProblem
from dataplane.zfs_abilities import Abilities
from dataplane.zfs_tool import OPERATION, Busy, Tool

POLLS = (0.01, 0.02, 0.04, 0.1)
"""Seconds before the next tries of a command that ZFS called busy; the last one again and again. zfs-fuse is done
with an unmount after 0.02 to 3."""

ROOM, SHARE = 64 * 2**20, 64
"""Bytes that are kept free for taking back what did not go, and the share of a small pool (one of so many)."""

LARGEST_MARK = 8191
"""Bytes. zfs-fuse aborts its own command at 9000."""


def room_of(root: str) -> str:
    """The dataset that holds nothing but a reservation: beside the root, for it is nobody's data."""
    return f"{root}-room"


@dataclass(frozen=True)
class Zfs:
    """The verbs of daemon.node.Datasets below `root`. `patience` is how many seconds a busy dataset is tried again."""

    root: str
    abilities: Abilities
    tool: Tool
    patience: float = 6.0

    async def look(self, name: str) -> Dataset | None:
        return (await self._found(name)).get(name)

    async def below(self, name: str) -> list[Dataset]:
        found = await self.tool.read(name, below=True)
        if name not in found:
            await self._found()  # absent only if the pool is there to say so
        found.pop(name, None)
        return sorted(found.values(), key=lambda dataset: re.split("[/@]", dataset.name))

    async def create(self, name: str, by: str, marks: Mapping[str, str], layout: Layout) -> None:
        await self._make(name, {OPERATION: by, **marks}, layout.quota, ("create",))
        await self.tool.own(await self.mount(name), layout)

    async def clone(self, snapshot: str, name: str, by: str, marks: Mapping[str, str], layout: Layout) -> None:
        await self._make(name, {OPERATION: by, **marks}, layout.quota, ("clone", snapshot))
        await self.mount(name)

    async def extend(self, snapshot: str, name: str, by: str) -> None:
        # zfs-fuse mounts a clone unless it is never to be mounted, and what was mounted may have changed.
        await self._make(name, {OPERATION: by}, None, ("clone", snapshot), canmount="off")
        await self.hold_off(name)
        await self.promote(name)

    async def snapshot(self, datasets: Sequence[str], snapshot: str, by: str) -> None:
        names = [f"{dataset}@{snapshot}" for dataset in datasets]
        for name in names:
            require_named(name, by)
        objection = await self._take(datasets, snapshot, by)
        found = await self._found(*names)
        there = [found[name] for name in names if name in found]
        if not there:
            raise objection or ZfsProblem(f"cannot snapshot {', '.join(datasets)}: zfs says it did, but there is none")
        if len(there) < len(names):
            some = ", ".join(dataset.name for dataset in there)
            raise ZfsProblem(f"cannot snapshot all at one instant: of {', '.join(names)} there is already {some}")
        for dataset in there:
            _require_ours(dataset, by)
        await self._complete(there, {OPERATION: by})
        if len(names) > 1:
            await self._clear_extras(names[0], by)

    async def promote(self, name: str) -> Dataset:
        before = await self._require(name)
        if before.origin is None:
            return before
        objection = await self._change("promote", name)
        after = await self._require(name)
        if after.origin == before.origin:
            raise objection or ZfsProblem(f"cannot promote {name}: zfs says it did, but it is a clone of the same")
        return after

    async def mark(self, name: str, marks: Mapping[str, str]) -> None:
        self._require_below(name)
        await self._set({name: marks})

    async def limit(self, name: str, quota: int | None) -> None:
        self._require_below(name)
        objection = await self._change("set", f"refquota={quota or 'none'}", name)
        if (now := await self.tool.quota(name)) != quota:
            raise objection or ZfsProblem(f"cannot limit {name} to {quota}: zfs says it did, but its limit is {now}")

    async def make_parents(self, name: str, by: str) -> None:
        """The datasets between the root and `name`, where they are missing: marked `by`, never mounted."""
        parents = self._parents(name)
        found = await self._found(*parents)
        await self._make_parents([parent for parent in parents if parent not in found], by)

    async def adopt(self, name: str, by: str, marks: Mapping[str, str], layout: Layout) -> None:
        """Make what was received as `name` and snapshotted `@by` a mounted filesystem like one of `create`."""
        await self.hold_off(name)
        await self._set({name: {OPERATION: by, **marks}})
        if await self.look(f"{name}@{by}"):
            await self._remove(f"{name}@{by}")
        await self.limit(name, layout.quota)
        await self.mount(name)

    async def hold_off(self, name: str) -> None:
        self._require_below(name)
        if objection := await self._change("set", "canmount=noauto", name):
            raise objection

    async def mount(self, name: str) -> str:
        self._require_below(name)
        if path := await self.tool.mounted(name):
            return path
        objection = await self._change("mount", name)
        if path := await self.tool.mounted(name):
            return path
        raise objection or ZfsProblem(f"cannot mount {name}: zfs says it did, but it is not mounted here")

    async def unmount(self, name: str) -> None:
        self._require_below(name)
        if not await self.tool.mounted(name):
            return
        objection = await self._change("unmount", name)
        if await self.tool.mounted(name):
            raise objection or ZfsProblem(f"cannot unmount {name}: zfs says it did, but it is still mounted")

    async def take_back(self, name: str, by: str) -> None:
        parents = self._parents(name)
        found = await self._found(*parents, name)
        if name in found:
            _require_ours(found[name], by)
            await self._remove(name)
        if "@" in name:
            await self._clear_extras(name, by)
        else:
            await self._remove_parents([found[parent] for parent in parents if parent in found], by)

    async def take_back_whole(self, name: str, by: str) -> None:
        if found := await self.look(name):
            _require_ours(found, by)
            for inside in await self.below(name):
                await self._remove(inside.name)
        await self.take_back(name, by)

    async def left(self, name: str) -> str | None:
        """The token of what is left in a filesystem of a stream that broke; None where nothing is, or ever is."""
        self._require_below(name)
        return await self.tool.left(name) if self.abilities.resumes else None

    async def give_up(self, name: str, by: str) -> None:
        """Destroy what is left of a stream that broke, if `by` made it: the filesystem, where all of it was to come."""
        if not await self.left(name):
            return
        _require_ours(await self._require(name), by)
        objection = await self._change("receive", "-A", name)
        if await self.left(name):
            raise objection or ZfsProblem(f"cannot give up what came of {name}: zfs says it did, but it is still there")

    async def destroy(self, name: str) -> None:
        self._require_below(name)
        found = await self.look(name)
        if found is None:
            return
        if not found.marks:
            raise NotOurs(f"cannot destroy {name}: it bears no mark of ours")
        await self._remove(name)

    async def keep_room(self) -> None:
        """As much as fits, by halves: what is full already is nothing that could be changed here."""
        wanted = min(ROOM, (await self.space()).size // SHARE)
        for size in (wanted, wanted // 2, wanted // 4, wanted // 8):
            objection = await self._reserve(size)
            if not isinstance(objection, NoRoom):
                break
        if objection and not isinstance(objection, NoRoom):
            raise objection

    async def give_room(self) -> None:
        if objection := await self._reserve(None):
            raise objection

    async def _reserve(self, size: int | None) -> ZfsProblem | None:
        """Have nobody else take so many bytes; nothing where no dataset was made for that (see `pool`)."""
        place = room_of(self.root)
        if place not in await self.tool.read(place):
            return None
        return await self._change("set", f"reservation={size or 'none'}", place)

    async def space(self) -> Space:
        used, available = await self.tool.size(self.root.partition("/")[0])
        return Space(used, used + available)

    # What is there

    async def _found(self, *names: str) -> dict[str, Dataset]:
        """Those that exist. The root is asked for too: without its pool, everything "does not exist"."""
        found = await self.tool.read(self.root, *(name for name in names if name != self.root))
        if self.root not in found:
            raise PoolUnavailable(f"there is no {self.root} here, so nothing below it can be told; is it imported?")
        return found

    async def _require(self, name: str) -> Dataset:
        self._require_below(name)
        found = await self.look(name)
        if found is None:
            raise ZfsProblem(f"there is no {name}")
        return found

    def _require_below(self, name: str) -> None:
        if not name.startswith(f"{self.root}/"):
            raise NotOurs(f"{name} does not lie below {self.root}; it is not touched")

    def _parents(self, name: str) -> list[str]:
        """The datasets between the root and `name`, outermost first."""
        self._require_below(name)
        between = name.partition("@")[0].removeprefix(f"{self.root}/").split("/")[:-1]
        return ["/".join((self.root, *between[: length + 1])) for length in range(len(between))]

    # Making

    async def _make(
        self, name: str, marks: Mapping[str, str], quota: int | None, how: tuple[str, ...], *, canmount: str = "noauto"
    ) -> None:
        """Its marks are given with its creation, which ZFS does as one; only what was there unmarked is marked.

        Most often its parents are there. Where it could not be made they are, and it is tried once more.
        """
        parents, by = self._parents(name), marks[OPERATION]
        require_named(name, by)
        limit = {} if quota is None else {"refquota": str(quota)}
        verb, *of = how
        making = (verb, *_options(limit, marks, canmount=canmount), *of, name)
        objection = await self._change(*making)
        found = await self._found(*parents, name)
        if name not in found:
            await self._make_parents([parent for parent in parents if parent not in found], by)
            objection = await self._change(*making)
            found = await self._found(name)
        if name not in found:
            raise objection or ZfsProblem(f"cannot make {name}: zfs says it did, but it does not exist")
        _require_ours(found[name], by)
        await self._complete([found[name]], marks)

    async def _make_parents(self, parents: Sequence[str], by: str) -> None:
        for parent in parents:
            objection = await self._change("create", *_options({}, {OPERATION: by}, canmount="off"), parent)
            if objection and await self.look(parent) is None:
                raise objection

    async def _take(self, datasets: Sequence[str], snapshot: str, by: str) -> ZfsProblem | None:
        """The only way to several at one instant is, on zfs-fuse, all that lie below what they have in common.

        Those are not marked by the command: what bears no mark afterwards is what nobody asked for.
        """
        if len(datasets) == 1 or self.abilities.several_snapshots:
            names = [f"{dataset}@{snapshot}" for dataset in datasets]
            return await self._change("snapshot", *_options({}, {OPERATION: by}), *names)
        common = os.path.commonpath(datasets)
        self._require_below(common)
        return await self._change("snapshot", "-r", f"{common}@{snapshot}")

    # Marking

    async def _complete(self, found: Sequence[Dataset], marks: Mapping[str, str]) -> None:
        """Give each the marks that it lacks."""
        lacking = {dataset.name: _lacking(dataset, marks) for dataset in found}
        await self._set({name: missing for name, missing in lacking.items() if missing})

    async def _set(self, wanted: Mapping[str, Mapping[str, str]]) -> None:
        """Set the marks of each, and read all of them back."""
        if not wanted:
            return
        objections = {name: await self._set_on(name, marks) for name, marks in wanted.items()}
        found = await self._found(*wanted)
        for name, marks in wanted.items():
            _require_marks(name, found.get(name), marks, objections[name])

    async def _set_on(self, name: str, marks: Mapping[str, str]) -> ZfsProblem | None:
        settings = [_setting(key, value) for key, value in marks.items()]
        at_once = [settings] if self.abilities.several_marks else [[setting] for setting in settings]
        objections = [await self._change("set", *group, name) for group in at_once]
        return next((objection for objection in objections if objection), None)

    # Removing

    async def _remove(self, name: str) -> None:
        """ZFS itself unmounts it, and refuses while anything depends on it; there is no -r, -R or -d here."""
        objection = await self._change("destroy", name)
        if await self.look(name):
            raise objection or ZfsProblem(f"cannot destroy {name}: zfs says it did, but it is still there")
        if "@" not in name and len(self._parents(name)) < 2:
            await self.tool.clear(name)

    async def _remove_parents(self, parents: Sequence[Dataset], by: str) -> None:
        ours = [parent.name for parent in parents if parent.marks.get(OPERATION) == by]
        if not ours:
            return
        inside = [dataset.name for dataset in await self.below(ours[0])]
        for parent in reversed(ours):
            if any(name.startswith((f"{parent}/", f"{parent}@")) for name in inside):
                return
            await self._remove(parent)
            inside = [name for name in inside if name != parent]

    async def _clear_extras(self, name: str, by: str) -> None:
        """Remove the snapshots that came with those asked for (see `_take`): ours by name, and unmarked."""
        if self.abilities.several_snapshots:
            return
        extras = await self._extras(name, by)
        objections = [await self._change("destroy", extra) for extra in extras]
        if extras and (left := await self._extras(name, by)):
            said = next((objection for objection in objections if objection), "zfs says it did")
            raise ZfsProblem(f"cannot destroy {', '.join(left)}, which nobody asked for: {said}")

    async def _extras(self, name: str, by: str) -> list[str]:
        namespace, at = self._parents(name)[0], f"@{name.partition('@')[2]}"
        ours = [found.name for found in await self.below(namespace) if OPERATION not in found.marks]
        return [extra for extra in ours if extra.endswith(at) and is_named_by(extra, by)]

    async def _change(self, *argv: str) -> ZfsProblem | None:
        """Run `zfs ARGV`, again and again while it says *busy* and patience lasts; return its last objection."""
        clock, pauses = asyncio.get_running_loop().time, chain(POLLS, repeat(POLLS[-1]))
        until = clock() + self.patience
        while isinstance(objection := await self.tool.change(*argv), Busy):
            if clock() >= until:
                return Busy(f"{objection} (`zfs {argv[0]}` was tried for {self.patience:g} seconds)")
            await asyncio.sleep(next(pauses))
        return objection


def is_named_by(name: str, by: str) -> bool:
    """Whether the last part of the name has the operation's id in it, as a word of its own."""
    last = re.split("[/@]", name)[-1]
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(by)}(?![A-Za-z0-9])", last) is not None


def _require_ours(dataset: Dataset, by: str) -> None:
    maker = dataset.marks.get(OPERATION)
    if not is_named_by(dataset.name, by) or maker not in (None, by):
        raise NotOurs(f"{dataset.name} was not made by {by} but by {maker or 'nobody we know'}; it is not touched")


def require_named(name: str, by: str) -> None:
    if not is_named_by(name, by):
        raise NotOurs(f"{name} does not bear {by}, so nobody could tell who made it; it is not touched")


def _lacking(dataset: Dataset, marks: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in marks.items() if dataset.marks.get(key) != value}


def _require_marks(name: str, found: Dataset | None, marks: Mapping[str, str], objection: ZfsProblem | None) -> None:
    if found is None or _lacking(found, marks):
        now = found.marks if found else "gone"
        raise objection or ZfsProblem(f"cannot mark {name}: zfs says it did, but its marks are {now}")


def _options(properties: Mapping[str, str], marks: Mapping[str, str], canmount: str | None = None) -> list[str]:
    settings = [f"canmount={canmount}"] if canmount else []
    settings += [f"{key}={value}" for key, value in properties.items()]
    settings += [_setting(key, value) for key, value in marks.items()]
    return [word for setting in settings for word in ("-o", setting)]


def _setting(key: str, value: str) -> str:
    if key not in MARKS:
        raise ZfsProblem(f"cannot mark with {key}: it could not be read back, because it is none of {', '.join(MARKS)}")
    if len(value.encode()) > LARGEST_MARK or not value.isprintable():
        raise ZfsProblem(f"cannot mark with {key}: its value is not one line of at most {LARGEST_MARK} bytes")
    return f"{MARK}{key}={value}"
