"""A `zfs` that lies: every lie ends in a clear problem, or in success where reading back shows that it is so."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest

from dataplane.dataset import Layout, PoolUnavailable, ZfsProblem
from dataplane.zfs import Zfs
from dataplane.zfs_tool import ZfsTool
from tests.adapters.pools import fresh_root

NUMBERS = count()

NOTHING_DONE = '#!/bin/sh\n[ "$1" = get ] && exec zfs "$@"\nexit 0\n'
DONE_AND_FAILED = '#!/bin/sh\n[ "$1" = get ] && exec zfs "$@"\nzfs "$@"; echo "internal error" >&2; exit 1\n'
NOT_DONE_AND_FAILED = '#!/bin/sh\n[ "$1" = get ] && exec zfs "$@"\necho "internal error" >&2; exit 1\n'
HANGING = '#!/bin/sh\n[ "$1" = get ] && exec zfs "$@"\nexec sleep 1000\n'
DEAF = "#!/bin/sh\nexec sleep 1000\n"
ANSWERS_AND_FAILS = '#!/bin/sh\nzfs "$@"; exit 1\n'
SAYS_NOTHING = "#!/bin/sh\nexit 0\n"
HALF = """#!/bin/sh
zfs "$@" > "$0.answer"
head -c $(($(stat -c %s "$0.answer") * PERCENT / 100)) "$0.answer"
"""


@dataclass(frozen=True)
class Scene:
    """A generation with a snapshot, a clone of it that is not promoted, and what an honest `zfs` says of them."""

    zfs: Zfs
    folder: Path

    @property
    def old(self) -> str:
        return f"{self.zfs.root}/shop/data/op-1"

    @property
    def base(self) -> str:
        return f"{self.old}@op-2"

    @property
    def clone(self) -> str:
        return f"{self.zfs.root}/shop/data/op-2"

    @property
    def new(self) -> str:
        return f"{self.zfs.root}/shop/data/op-3"

    def told_by(self, script: str, *, within: float = 20.0) -> Zfs:
        """The adapter over a program that lies."""
        program = self.folder / "zfs"
        program.write_text(script)
        program.chmod(0o755)
        return replace(self.zfs, tool=ZfsTool(str(program), within), patience=0.5)


@dataclass(frozen=True)
class Verb:
    """What is called, and how to tell that it is done."""

    act: Callable[[Scene, Zfs], Awaitable[object]]
    done: Callable[[Scene], Awaitable[object]]


async def is_there(scene: Scene, name: str) -> bool:
    return await scene.zfs.look(name) is not None


async def path(scene: Scene, name: str) -> str | None:
    found = await scene.zfs.look(name)
    return found.path if found else None


async def state(scene: Scene) -> str | None:
    found = await scene.zfs.look(scene.old)
    return found.marks.get("state") if found else None


async def origin(scene: Scene) -> str | None:
    found = await scene.zfs.look(scene.clone)
    return found.origin if found else None


async def is_not(found: Awaitable[object]) -> bool:
    return not await found


VERBS = {
    "create": Verb(
        lambda s, zfs: zfs.create(s.new, "op-3", {"state": "candidate"}, Layout()), lambda s: path(s, s.new)
    ),
    "clone": Verb(lambda s, zfs: zfs.clone(s.base, s.new, "op-3", {"epoch": "1"}, Layout()), lambda s: path(s, s.new)),
    "snapshot": Verb(lambda s, zfs: zfs.snapshot([s.old], "op-3", "op-3"), lambda s: is_there(s, f"{s.old}@op-3")),
    "promote": Verb(lambda s, zfs: zfs.promote(s.clone), lambda s: is_not(origin(s))),
    "mark": Verb(lambda s, zfs: zfs.mark(s.old, {"state": "kept"}), lambda s: state(s)),
    "unmount": Verb(lambda s, zfs: zfs.unmount(s.old), lambda s: is_not(path(s, s.old))),
    "mount": Verb(lambda s, zfs: zfs.mount(f"{s.old}-idle"), lambda s: path(s, f"{s.old}-idle")),
    "destroy": Verb(lambda s, zfs: zfs.destroy(f"{s.old}-idle"), lambda s: is_not(is_there(s, f"{s.old}-idle"))),
    "take_back": Verb(lambda s, zfs: zfs.take_back(s.clone, "op-2"), lambda s: is_not(is_there(s, s.clone))),
}
every_verb = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())


@pytest.fixture
def scene(pool: Zfs, tmp_path: Path) -> Scene:
    found = Scene(fresh_root(pool, tmp_path / "volumes", f"l{next(NUMBERS)}").zfs, tmp_path)

    async def prepare() -> None:
        await found.zfs.create(found.old, "op-1", {}, Layout())
        await found.zfs.create(f"{found.old}-idle", "op-1", {}, Layout())
        await found.zfs.unmount(f"{found.old}-idle")
        await found.zfs.snapshot([found.old], "op-2", "op-2")
        await found.zfs.clone(found.base, found.clone, "op-2", {}, Layout())

    asyncio.run(prepare())
    return found


async def everything(scene: Scene) -> list[object]:
    return [(found.name, found.marks, found.origin, found.path) for found in await scene.zfs.below(scene.zfs.root)]


@every_verb
@pytest.mark.parametrize("script", [NOTHING_DONE, NOT_DONE_AND_FAILED], ids=["says-done", "says-failed"])
def test_what_was_not_done_is_a_problem(scene: Scene, verb: Verb, script: str) -> None:
    before = asyncio.run(everything(scene))
    with pytest.raises(ZfsProblem):
        asyncio.run(to_end(verb.act(scene, scene.told_by(script))))
    assert asyncio.run(everything(scene)) == before


@every_verb
def test_what_was_done_is_done_whatever_the_exit_code(scene: Scene, verb: Verb) -> None:
    asyncio.run(to_end(verb.act(scene, scene.told_by(DONE_AND_FAILED))))
    assert asyncio.run(to_end(verb.done(scene)))


@every_verb
@pytest.mark.parametrize("script", [HANGING, DEAF], ids=["when-changing", "always"])
def test_what_hangs_makes_the_pool_unavailable(scene: Scene, verb: Verb, script: str) -> None:
    with pytest.raises(PoolUnavailable, match="did not end within"):
        asyncio.run(to_end(verb.act(scene, scene.told_by(script, within=0.4))))


@pytest.mark.parametrize("percent", [1, 10, 30, 50, 70, 90, 99])
def test_half_an_answer_is_no_answer(scene: Scene, percent: int) -> None:
    zfs = scene.told_by(HALF.replace("PERCENT", str(percent)))
    with pytest.raises(ZfsProblem):
        asyncio.run(zfs.look(scene.clone))


@pytest.mark.parametrize("script", [SAYS_NOTHING, ANSWERS_AND_FAILS, NOT_DONE_AND_FAILED.replace("get", "none")])
def test_an_answer_that_does_not_add_up_is_never_absence(scene: Scene, script: str) -> None:
    zfs = scene.told_by(script)
    for question in (zfs.look(scene.old), zfs.below(scene.zfs.root), zfs.space(), zfs.take_back(scene.clone, "op-2")):
        with pytest.raises(ZfsProblem):
            asyncio.run(to_end(question))
    assert asyncio.run(is_there(scene, scene.clone))


def test_a_missing_program_makes_the_pool_unavailable(scene: Scene) -> None:
    zfs = replace(scene.zfs, tool=ZfsTool(str(scene.folder / "none")))
    with pytest.raises(PoolUnavailable, match="not installed"):
        asyncio.run(zfs.look(scene.old))


async def to_end(work: Awaitable[object]) -> object:
    return await work
