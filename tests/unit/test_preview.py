"""A plan, shown: flat, in order, with the commit and who is down from where on."""

import asyncio

import msgspec
import pytest

from daemon.preview import preview
from daemon.primitive import Commit, Part, Step, Together
from daemon.wire import How, Mutation, Preview, VolumeImport
from tests.law.cases import CASES
from tests.law.law import prepared
from tests.law.world import boot, ignore


async def nothing() -> None:
    raise AssertionError("a preview does nothing")


async def never() -> bool:
    raise AssertionError("a preview settles nothing")


STOP = Step("stop db", nothing, downtime=("db",))
START = Step("start db", nothing, bytes=0)
FLIP = Step("flip", nothing)


def test_steps_are_shown_flat_with_the_commit_among_them() -> None:
    parts: list[Part] = [Together((STOP, START)), Commit("commit", nothing, never), FLIP]
    shown = preview("deploy", parts, "m1")
    assert [step.says for step in shown.steps] == ["stop db", "start db", "commit", "flip"]
    assert (shown.primitive, shown.commit) == ("deploy", 2)
    assert {step.machine for step in shown.steps} == {"m1"}
    assert shown.steps[0].down == ["db"]
    assert [step.bytes for step in shown.steps] == [None, 0, None, None], "to copy nothing is told, too"


def test_where_nothing_is_to_be_done() -> None:
    shown = preview("deploy", [], "m1")
    assert (shown.steps, shown.commit) == ([], 0)


SHOWN = (
    ("a clone copies nothing", "replace a writer", None, "clone data", 0),
    ("an export sends what is in it", "export", None, "send data", 9),
    ("an import takes what comes", "import", VolumeImport("shop", "more", size=4096), "of what is sent", 4096),
    ("a purge gives back what only it holds", "remove and purge", None, "free what only", 27),
    ("a fork copies nothing", "fork a volume", None, "clone scratch/data", 0),
    ("a removal tells no bytes", "remove", None, "keep the data", None),
)


@pytest.mark.parametrize(("case", "asked", "step", "wanted"), [row[1:] for row in SHOWN], ids=[row[0] for row in SHOWN])
def test_a_preview_tells_bytes_where_data_is_copied_or_given_back(
    case: str, asked: Mutation | None, step: str, wanted: int | None
) -> None:
    found = next(each for each in CASES if each.name == case)
    world = prepared(found).copy()

    async def scenario() -> Preview:
        told = await boot(world).mutate(asked or found.ask, How(preview=True), "uid 0", ignore)
        return msgspec.convert(told.result, Preview)

    [row] = [each for each in asyncio.run(scenario()).steps if step in each.says]
    assert row.bytes == wanted
