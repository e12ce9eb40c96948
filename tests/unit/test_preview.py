"""A plan, shown: flat, in order, with the commit and who is down from where on."""

from daemon.preview import preview
from daemon.primitive import Commit, Part, Step, Together


async def nothing() -> None:
    raise AssertionError("a preview does nothing")


async def never() -> bool:
    raise AssertionError("a preview settles nothing")


STOP = Step("stop db", nothing, downtime=("db",))
START = Step("start db", nothing)
FLIP = Step("flip", nothing)


def test_steps_are_shown_flat_with_the_commit_among_them() -> None:
    parts: list[Part] = [Together((STOP, START)), Commit("commit", nothing, never), FLIP]
    shown = preview("deploy", parts, "m1")
    assert [step.says for step in shown.steps] == ["stop db", "start db", "commit", "flip"]
    assert (shown.primitive, shown.commit) == ("deploy", 2)
    assert {step.machine for step in shown.steps} == {"m1"}
    assert shown.steps[0].down == ["db"]


def test_where_nothing_is_to_be_done() -> None:
    shown = preview("deploy", [], "m1")
    assert (shown.steps, shown.commit) == ([], 0)
