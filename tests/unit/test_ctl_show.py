"""What people see: plain lines in a pipe, a calm view on a terminal, results as tables."""

import os
import threading

import pytest
from msgspec import to_builtins

from daemon import wire
from daemon.wire import Error, Event, EventKind, Failure, Success
from tests.fakes.ployzd import Scene, Talk, answering, daemon
from tests.fakes.terminal import ployzctl, start, terminal

ID = "op-aaaaaaaaaaaa"
DEPLOYED = wire.Deployed(
    "shop",
    4,
    3,
    [
        wire.ServiceResult("db", "unchanged", [wire.ResultInstance("i1", "m1", "10.210.1.4")]),
        wire.ServiceResult("web", "replace", [wire.ResultInstance("i2", "m1", "10.210.1.5")]),
    ],
    [wire.VolumeResult("data", "unchanged", "m1", ID)],
    ["shop.localhost"],
    {"web": 1.234},
)
DONE = Success("deployed", to_builtins(DEPLOYED), ID, ["one\x1b[2J warning"])


def told(kind: EventKind, step: str, second: float, why: str = "", machine: str | None = None) -> Event:
    return Event(ID, f"2026-01-31T13:05:{second:06.3f}Z", kind, step, why, machine)


GOOD = [
    told("planned", "", 0),
    told("doing", "1 fetch shop/web:2", 1, machine="m1"),
    told("done", "1 fetch shop/web:2", 2.25, machine="m1"),
    told("committing", "2 point shop at deploy 4", 3),
    told("committed", "2 point shop at deploy 4", 3.5),
    told("finished", "", 4),
]
BAD = [
    told("doing", "1 stop db", 0),
    told("done", "1 stop db", 1),
    told("doing", "2.1 start web", 1),
    told("failed", "2.1 start web", 3, why="not ready\nlast line"),
    told("undoing", "2.1 start web", 3),
    told("undone", "2.1 start web", 3.5),
    told("undoing", "1 stop db", 4),
    told("undone", "1 stop db", 16),
    told("taken_back", "", 16),
]


def test_in_a_pipe_progress_is_plain_lines_and_the_result_a_table() -> None:
    with daemon(answering(*GOOD, DONE)) as playing:
        done = ployzctl("rollback", "shop", "--socket", playing.socket)
    assert done.code == 0
    assert done.error.splitlines() == [
        "  … fetch shop/web:2 (m1)",
        "  ✓ fetch shop/web:2 (m1)                                        1.2 s",
        "  … point shop at deploy 4",
        "  ✓ point shop at deploy 4                                       0.5 s",
        "warning: one�[2J warning",
    ]
    assert done.out.splitlines() == [
        "shop is at deploy 4  (before: 3)",
        "",
        "          NAME   WAS         WHERE",
        "service   db     unchanged   10.210.1.4 on m1",
        "service   web    replaced    10.210.1.5 on m1",
        "volume    data   unchanged   m1",
        "",
        "routes          shop.localhost",
        "down meanwhile  web for 1.2 s",
    ]


def test_a_branch_says_of_which_time_its_data_is() -> None:
    result = wire.Branched("shop", "pr-1", 1, "instant", 99.0, [], DEPLOYED.volumes, [])
    with daemon(answering(Success("branched", to_builtins(result), ID))) as playing:
        done = ployzctl("branch", "apply", "shop", "pr-1", "--socket", playing.socket)
    assert done.out.splitlines() == [
        "pr-1 is a branch of shop",
        "",
        "         NAME   WAS         WHERE",
        "volume   data   unchanged   m1",
        "",
        "data  all of one instant; writers stood still for 0.1 s",
    ]


def test_what_is_undone_is_in_parentheses_and_a_failure_says_how_the_world_is() -> None:
    error = Error("instance.ready", "taken_back", "cannot deploy shop", "web is not ready:\nlast line", "ployzctl logs")
    with daemon(answering(*BAD, Failure(error, ID))) as playing:
        done = ployzctl("rollback", "shop", "--socket", playing.socket)
    assert (done.code, done.out) == (4, "")
    assert done.error.splitlines() == [
        "  … stop db",
        "  ✓ stop db                                                      1.0 s",
        "  … start web",
        "  ✗ start web: not ready",
        "  … (start web)",
        "  ↶ (start web)                                                  0.5 s",
        "  … (stop db)",
        "  ↶ (stop db)                                                     12 s",
        "ployzctl: cannot deploy shop: because web is not ready:",
        "  │ last line",
        "  try: ployzctl logs",
        f"Taken back: everything is as it was before. ({ID})",
    ]


@pytest.mark.parametrize(
    ("words", "state", "last"),
    [
        (("rollback", "shop"), "refused", "Nothing was changed."),
        (("rollback", "preview", "shop"), "refused", "ployzctl: cannot go on: because of that"),
        (("ps",), "refused", "ployzctl: cannot go on: because of that"),
        (("rollback", "shop"), "error", "ployzctl: cannot go on: because of that"),
        (
            ("rollback", "shop"),
            "stuck",
            f"Stuck: neither done nor taken back yet. Carry on with: ployzctl op resume {ID} ({ID})",
        ),
    ],
)
def test_a_failure_ends_with_the_state_of_the_world(words: tuple[str, ...], state: wire.State, last: str) -> None:
    with daemon(answering(Failure(Error("x.y", state, "cannot go on", "of that"), ID))) as playing:
        done = ployzctl(*words, "--socket", playing.socket)
    assert done.error.splitlines()[-1] == last


def held_at(event: Event, seen: threading.Event) -> Scene:
    """An operation that stays in the middle of a step until that was seen."""

    def scene(talk: Talk) -> None:
        talk.begin()
        talk.say(event)
        assert seen.wait(20)
        talk.say(*GOOD, DONE)
        talk.end()

    return scene


def test_on_a_terminal_the_step_under_way_turns_and_gives_way_to_its_ending() -> None:
    seen = threading.Event()
    begun = Event(ID, "2026-01-31T13:05:01Z", "doing", "1 fetch shop/web:2", bytes=3 << 20, total=9 << 20)
    with daemon(held_at(begun, seen)) as playing, terminal("rollback", "shop", "--socket", playing.socket) as person:
        person.until(r"⠋.*fetch shop/web:2, 3\.0 MiB of 9\.0 MiB.*⠙")
        seen.set()
        assert person.ends() == 0
    assert person.screen() == [
        "  ✓ fetch shop/web:2 (m1)                                        1.2 s",
        "  ✓ point shop at deploy 4                                       0.5 s",
        "warning: one�[2J warning",
        "shop is at deploy 4  (before: 3)",
        "",
        "          NAME   WAS         WHERE",
        "service   db     unchanged   10.210.1.4 on m1",
        "service   web    replaced    10.210.1.5 on m1",
        "volume    data   unchanged   m1",
        "",
        "routes          shop.localhost",
        "down meanwhile  web for 1.2 s",
    ]
    assert person.seen.rfind("\x1b[?25h") > person.seen.rfind("\x1b[?25l") > 0


@pytest.mark.parametrize(("env", "colours"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_are_for_terminals_that_want_them(env: dict[str, str], colours: bool) -> None:
    with (
        daemon(answering(DONE)) as playing,
        terminal("rollback", "shop", "--socket", playing.socket, env=env) as person,
    ):
        person.ends()
    assert ("\x1b[1mshop is at deploy 4\x1b[0m" in person.seen) is colours


def test_json_has_no_colours_on_a_terminal_either() -> None:
    with daemon(answering(*GOOD, DONE)) as playing:
        words = ("--json", "rollback", "shop", "--socket", playing.socket)
        with terminal(*words) as person:
            person.ends()
    assert person.seen.startswith('{"ok":true,')
    assert person.seen.count("\n") == 1


def test_whoever_stops_reading_is_not_told_of_a_broken_pipe() -> None:
    lines = [wire.Output(b"x" * 60_000 + b"\n")] * 20
    reading, writing = os.pipe()
    with daemon(answering(*lines, Success("logs", {}))) as playing:
        process = start("logs", "shop/web", "--socket", playing.socket, out=writing)
        os.close(writing)
        assert os.read(reading, 1) == b"x"
        os.close(reading)
        _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (1, b"")
