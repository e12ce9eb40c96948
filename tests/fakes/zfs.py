"""ZFS in memory: what `zfs` does and refuses, what it says, and what it keeps, without a pool.

It stands where the program stands, below dataplane.zfs, so each `zfs` command that the real adapter would run
is one touch of the world, and the gaps between making and marking can be cut.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from dataplane.dataset import MARK, MARKS, Dataset, Layout, NoRoom, PoolUnavailable, ZfsProblem
from dataplane.zfs import Zfs, room_of
from dataplane.zfs_abilities import Abilities
from dataplane.zfs_tool import Busy
from tests.fakes.touch import Touch, straight

Content = dict[str, bytes]
HIDDEN = "/%recv"
"""Below a filesystem: what came of an increment that broke. ZFS shows it to nobody."""
GROWS = ("create", "clone", "snapshot", "promote", "set")
"""What takes room that a full pool does not have. It always has room for giving some back."""


@dataclass
class Kept:
    """One filesystem or snapshot. `number` grows with creation, as a transaction group does; it makes the guid and the
    time, unless these are `known` and `taken` on the machine that it was received from. `left` is the token of a stream
    that broke on its way into it."""

    number: int
    content: Content
    marks: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    origin: str | None = None
    mounted: bool = False
    owner: str = "0:0"
    mode: str = "755"
    known: str = ""
    taken: int = 0
    left: str = ""

    @property
    def created(self) -> int:
        return self.taken or self.number

    @property
    def guid(self) -> str:
        return self.known or str(10_000_000_000_000_000_000 + self.number)


class FakeZfs:
    """A machine's ZFS. `datasets` is what a Node is given; `several=False` is zfs-fuse, `True` is OpenZFS.

    Tests may set `down` (the pool does not answer) and `full` (it has no room left), add to `busy` (names in use: not
    to be unmounted or destroyed), and look at `kept`, which is everything that is there, and at `folders`: the names of
    those that something is, or was, mounted at or below.
    """

    def __init__(self, root: str = "tank/ployz", *, several: bool = False, touch: Touch = straight) -> None:
        self.root = root
        self.touch = touch
        self.down = False
        self.full = False
        self.busy: set[str] = set()
        self.limit = 1_000_000
        self.kept: dict[str, Kept] = {}
        self.folders: set[str] = set()
        self._made = 0
        for name in (root.partition("/")[0], root, room_of(root)):
            self._add(name, Kept(0, {}, properties={"canmount": "off"}))
        self.datasets = Zfs(root, Abilities(several, several, several), self, patience=0.0)

    # What tests do to it and ask of it

    def write(self, dataset: str, key: str, value: bytes) -> None:
        """Write a file, as an instance would; the dataset has to be mounted. Raises NoRoom over its quota."""
        kept = self.kept[dataset]
        assert kept.mounted, f"{dataset} is not mounted"
        content = {**kept.content, key: value}
        quota = kept.properties.get("refquota", "none")
        if sum(map(len, content.values())) > (self.limit if quota == "none" else int(quota)):
            raise NoRoom(f"{dataset}: quota exceeded")
        kept.content = content

    def read_file(self, name: str, key: str) -> bytes | None:
        """The content of a file of a dataset or a snapshot, mounted or not; None if there is none."""
        return self.kept[name].content.get(key)

    def snapshots(self, dataset: str) -> list[str]:
        """Full names, oldest first."""
        mine = [name for name in self.kept if name.startswith(f"{dataset}@")]
        return sorted(mine, key=lambda name: self.kept[name].number)

    # What the adapter asks

    async def read(self, *names: str, below: bool = False) -> dict[str, Dataset]:
        self._require_up()
        there = [name for name in self.kept if not name.endswith(HIDDEN)]
        wanted = {name for name in names if name in there}
        if below:
            wanted |= {name for name in there for parent in names if name.startswith((f"{parent}/", f"{parent}@"))}
        return {name: self._dataset(name) for name in sorted(wanted)}

    async def change(self, *argv: str) -> ZfsProblem | None:
        return await self.touch(f"zfs {argv[0]} {argv[-1]}", partial(self.obey, *argv))

    async def mounted(self, name: str) -> str | None:
        self._require_up()
        return self._dataset(name).path if name in self.kept else None

    async def own(self, path: str, layout: Layout) -> None:
        await self.touch(f"own {path}", partial(self._own, path.removeprefix("/fake/"), layout))

    async def size(self, pool: str) -> tuple[int, int]:
        self._require_up()
        used = sum(len(value) for kept in self.kept.values() for value in kept.content.values())
        return (self.limit, 0) if self.full else (used, self.limit - used)

    async def quota(self, name: str) -> int | None:
        self._require_up()
        told = self.kept[name].properties.get("refquota", "none") if name in self.kept else "none"
        return None if told == "none" else int(told)

    async def left(self, name: str) -> str | None:
        self._require_up()
        if not self.datasets.abilities.resumes:
            raise ZfsProblem("bad property list: invalid property 'receive_resume_token'")
        part = self.part(name)
        return self.kept[part].left if part else None

    def part(self, name: str) -> str | None:
        """Where what is left is of a stream that broke on its way into a filesystem."""
        return next((part for part in (name + HIDDEN, name) if part in self.kept and self.kept[part].left), None)

    async def clear(self, name: str) -> None:
        if not any(one.startswith(f"{name}/") for one in self.folders):
            self.folders.discard(name)

    # What `zfs` does

    def obey(self, *argv: str) -> ZfsProblem | None:
        """Do what `zfs ARGV` does, whole or not at all, and say what it objects to."""
        self._require_up()
        verb, *rest = argv
        options = [rest[at + 1] for at, word in enumerate(rest) if word == "-o"]
        words = [word for at, word in enumerate(rest) if word != "-o" and (at == 0 or rest[at - 1] != "-o")]
        verbs: dict[str, Callable[[list[str], list[str]], None]] = {
            "create": self._create,
            "clone": self._clone,
            "snapshot": self._snapshot,
            "promote": self._promote,
            "set": self._set,
            "mount": self._mount,
            "unmount": self._unmount,
            "destroy": self._destroy,
            "receive": self._give_up,
        }
        try:
            if verb in GROWS and "reservation=none" not in words:
                self.require_room()
            verbs[verb](words, options)
        except ZfsProblem as problem:
            return problem
        return None

    def _create(self, words: list[str], options: list[str]) -> None:
        (name,) = words
        self._require_room_for(name)
        self._add(name, self._given(options, {}))

    def _clone(self, words: list[str], options: list[str]) -> None:
        snapshot, name = words
        frozen = self._require(snapshot)
        self._require_room_for(name)
        clone = self._given(options, frozen.content)
        clone.origin, clone.owner, clone.mode = snapshot, frozen.owner, frozen.mode
        several = self.datasets.abilities.several_snapshots
        clone.mounted = not several and clone.properties.get("canmount") != "off"  # zfs-fuse mounts it, noauto or not
        self._add(name, clone)
        if clone.mounted:
            self._enter(name)

    def _snapshot(self, words: list[str], options: list[str]) -> None:
        recursive, names = "-r" in words, [word for word in words if word != "-r"]
        assert len(names) == 1 or self.datasets.abilities.several_snapshots, "too many arguments"
        if recursive:
            dataset, _, snapshot = names[0].partition("@")
            below = [name for name in self.kept if name.startswith(f"{dataset}/") and "@" not in name]
            names = [f"{one}@{snapshot}" for one in (dataset, *below)]
        for name in names:
            self._require(name.partition("@")[0])
            self._require_free(name)
        self._made += 1
        for name in names:
            source = self.kept[name.partition("@")[0]]
            frozen = self._given(options, source.content)
            frozen.owner, frozen.mode = source.owner, source.mode
            self._add(name, frozen)

    def _promote(self, words: list[str], options: list[str]) -> None:
        """The clone takes over its origin and all older snapshots beside it, with their marks."""
        (name,) = words
        clone = self._require(name)
        if clone.origin is None:
            raise ZfsProblem(f"cannot promote '{name}': not a cloned filesystem")
        parent, origin = clone.origin.partition("@")[0], self.kept[clone.origin]
        moving = [snapshot for snapshot in self.snapshots(parent) if self.kept[snapshot].number <= origin.number]
        to = {snapshot: f"{name}@{snapshot.partition('@')[2]}" for snapshot in moving}
        for new in to.values():
            self._require_free(new)
        clone.origin, self.kept[parent].origin = self.kept[parent].origin, clone.origin
        self.kept = {to.get(old, old): kept for old, kept in self.kept.items()}
        for kept in self.kept.values():
            kept.origin = to.get(kept.origin, kept.origin) if kept.origin else None

    def _set(self, words: list[str], options: list[str]) -> None:
        *settings, name = words
        assert len(settings) == 1 or self.datasets.abilities.several_marks, "invalid dataset name"
        kept = self._require(name)
        for setting in settings:
            key, _, value = setting.partition("=")
            (kept.marks if key.startswith(MARK) else kept.properties)[key.removeprefix(MARK)] = value

    def _mount(self, words: list[str], options: list[str]) -> None:
        kept = self._require(words[0])
        if kept.mounted or kept.properties.get("canmount") == "off":
            raise ZfsProblem(f"cannot mount '{words[0]}': already mounted, or never to be")
        kept.mounted = True
        self._enter(words[0])

    def _unmount(self, words: list[str], options: list[str]) -> None:
        kept = self._require(words[0])
        self._require_idle(words[0])
        if not kept.mounted:
            raise ZfsProblem(f"cannot unmount '{words[0]}': not currently mounted")
        kept.mounted = False
        self.folders.discard(words[0])

    def _destroy(self, words: list[str], options: list[str]) -> None:
        (name,) = words
        self._require(name)
        for other, kept in self.kept.items():
            if other != name + HIDDEN and (other.startswith((f"{name}/", f"{name}@")) or kept.origin == name):
                raise ZfsProblem(f"cannot destroy '{name}': {other} depends on it")
        self._require_idle(name)
        if self.kept[name].properties.get("canmount") != "off":
            self.folders.discard(name)
        del self.kept[name]
        self.kept.pop(name + HIDDEN, None)

    def _give_up(self, words: list[str], options: list[str]) -> None:
        """`zfs receive -A`; how streams are received is in `transfers`."""
        flag, name = words
        assert flag == "-A"
        if not (part := self.part(name)):
            raise ZfsProblem(f"'{name}' does not have any resumable receive state to abort")
        self._destroy([part], options)

    def _enter(self, name: str) -> None:
        """Its folder is there, and those above."""
        while name != self.root:
            self.folders.add(name)
            name = name.rpartition("/")[0]

    def _own(self, name: str, layout: Layout) -> None:
        self._require_up()
        kept = self._require(name)
        kept.owner, kept.mode = layout.owner or "0:0", layout.mode or "755"

    # How it keeps and what it says

    def _given(self, options: Sequence[str], content: Content) -> Kept:
        pairs = dict(option.split("=", 1) for option in options)
        marks = {key.removeprefix(MARK): value for key, value in pairs.items() if key.startswith(MARK)}
        properties = {key: value for key, value in pairs.items() if not key.startswith(MARK)}
        return Kept(0, dict(content), marks, properties)

    def _add(self, name: str, kept: Kept) -> None:
        self._made += 1
        kept.number = self._made
        self.kept[name] = kept

    def _dataset(self, name: str) -> Dataset:
        kept = self.kept[name]
        path = f"/fake/{name}" if kept.mounted else None
        marks = {key: kept.marks[key] for key in MARKS if key in kept.marks}
        alone = self._alone(name)
        used = alone + sum(self._alone(snapshot) for snapshot in self.snapshots(name))
        refers = sum(map(len, kept.content.values()))
        return Dataset(name, kept.guid, kept.origin, marks, alone, path, used, refers, kept.created, kept.number)

    def _alone(self, name: str) -> int:
        """Bytes that a filesystem does not share with its origin, or a snapshot with anybody."""
        kept = self.kept[name]
        beside = [kept.origin] if kept.origin else [other for other in self.kept if "@" in name and other != name]
        shared = {item for other in beside for item in self.kept[other].content.items()}
        return sum(len(value) for key, value in kept.content.items() if (key, value) not in shared)

    def _require_up(self) -> None:
        if self.down:
            raise PoolUnavailable("the pool does not answer")

    def require_room(self) -> None:
        """Raises NoRoom where the pool is full."""
        if self.full:
            raise NoRoom("out of space")

    def _require(self, name: str) -> Kept:
        if name not in self.kept:
            raise ZfsProblem(f"cannot open '{name}': dataset does not exist")
        return self.kept[name]

    def _require_free(self, name: str) -> None:
        if name in self.kept:
            raise ZfsProblem(f"cannot create '{name}': dataset already exists")

    def _require_room_for(self, name: str) -> None:
        self._require_free(name)
        self._require(name.rpartition("/")[0])

    def _require_idle(self, name: str) -> None:
        if name in self.busy:
            raise Busy(f"cannot unmount or destroy '{name}': dataset is busy")
