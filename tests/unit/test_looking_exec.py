"""A command in an instance: what goes in, what comes out, and that it never outlives who asked."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from daemon.executing import attend
from daemon.wire import Event, Exec, Input, Output, Refused, Run, Success
from runtime.instance import EngineUnavailable
from tests.fakes.seen import condition
from tests.unit.test_looking import World


async def typed(*lines: Input) -> AsyncIterator[Input]:
    for line in lines:
        yield line


class Screen:
    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []

    async def __call__(self, line: Event | Output) -> None:
        assert isinstance(line, Output)
        self.said.append((line.stream, line.data))


def execute(world: World, screen: Screen, inputs: AsyncIterator[Input], request: Exec) -> Success:
    return asyncio.run(world.looking.exec(request, inputs, screen))


def test_an_interactive_command() -> None:
    world, screen = World(), Screen()
    inputs = typed(Input(b"one"), Input(rows=50, columns=100), Input(b"two", end=True))
    request = Exec("shop", "web", ["sh", "-i"], interactive=True, tty=True, rows=30, columns=90)
    done = execute(world, screen, inputs, request)
    assert done == Success("executed", {"code": 7})
    assert screen.said == [("stdout", b"ONE"), ("stderr", b"50x100"), ("stdout", b"TWO"), ("stderr", b"end")]
    [(*opened, session)] = world.engine.sessions
    assert opened == ["web-1", ["sh", "-i"], True, 30, 90]
    assert session.closed


def test_a_client_that_hangs_up_ends_the_input() -> None:
    world, screen = World(), Screen()
    execute(world, screen, typed(Input(b"one")), Exec("shop", "web", ["sh"], interactive=True))
    assert screen.said == [("stdout", b"ONE"), ("stderr", b"end")]


def test_a_command_that_nobody_types_at_has_no_input() -> None:
    world, screen = World(), Screen()
    execute(world, screen, typed(Input(b"one")), Exec("shop", "web", ["ls"]))
    assert screen.said == [("stderr", b"end")]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Exec("shop", "web", []), "exec.empty"),
        (Exec("shop", "cache", ["ls"]), "service.missing"),
        (Exec("house", "web", ["ls"]), "namespace.missing"),
        (Exec("shop", "db", ["ls"]), "instance.missing"),
    ],
)
def test_what_cannot_be_run(request_: Exec, code: str) -> None:
    world = World()
    world.engine.conditions = (condition("web-1"), condition("db-1", "stopped"))
    with pytest.raises(Refused) as refused:
        execute(world, Screen(), typed(), request_)
    assert refused.value.code == code


def test_an_engine_that_is_down() -> None:
    world = World()
    world.engine.problem = EngineUnavailable("no answer")
    with pytest.raises(Refused, match="no answer") as refused:
        execute(world, Screen(), typed(), Exec("shop", "web", ["ls"]))
    assert refused.value.code == "engine.down"


def test_what_breaks_on_the_way_in_ends_the_command() -> None:
    world = World()
    with pytest.raises(Refused, match="the pipe is gone"):
        execute(world, Screen(), typed(Input(b"break")), Exec("shop", "web", ["sh"], interactive=True))
    assert world.engine.sessions[0][-1].closed


def test_a_client_that_goes_away_ends_the_command() -> None:
    async def story() -> None:
        world, typing = World(), asyncio.Event()

        async def nothing_more() -> AsyncIterator[Input]:
            typing.set()
            await asyncio.Event().wait()
            yield Input()

        request = Exec("shop", "web", ["sh"], interactive=True)
        task = asyncio.create_task(world.looking.exec(request, nothing_more(), Screen()))
        await typing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert world.engine.sessions[0][-1].closed

    asyncio.run(story())


def test_an_instance_that_was_made_for_a_command_is_begun_and_talked_to() -> None:
    world, screen = World(), Screen()
    request = Run("shop", "web", ["sh"], interactive=True, tty=True, rows=30, columns=90)
    assert asyncio.run(attend(world.engine, "shop-web-run-1", request, typed(Input(b"one", end=True)), screen)) == 7
    assert screen.said == [("stdout", b"ONE"), ("stderr", b"end")]
    [(*begun, session)] = world.engine.sessions
    assert begun == ["shop-web-run-1", [], True, 30, 90]
    assert session.closed
