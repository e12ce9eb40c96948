"""An engine that lies: a verb ends in a clear problem, or in what is really so, never in a wrong answer."""

import asyncio
from collections.abc import Iterator

import pytest

from runtime.docker import Docker
from runtime.instance import EngineProblem, EngineUnavailable, Specification
from tests.adapters.engines import BRIDGE, IMAGE, RealEngine, specification
from tests.adapters.liar import Liar, Lie, lying

ABOUT = {
    "create": r"POST \S*/containers/create",
    "start": r"POST \S*/start",
    "stop": r"POST \S*/stop",
    "remove": r"DELETE ",
    "take back": r"DELETE ",
}
WANTED = {"create": "created", "start": "running", "stop": "stopped", "remove": None, "take back": None}
DONE: list[tuple[str, Lie]] = [(verb, lie) for verb in ABOUT for lie in ("done and error", "done and half")]


@pytest.fixture(scope="module")
def liar(real: RealEngine) -> Iterator[Liar]:
    with lying(real.place.socket) as liar:
        yield liar


@pytest.fixture
def lied_to(real: RealEngine, liar: Liar) -> Iterator[Docker]:
    """An adapter that talks to the liar, and waits for no answer longer than half a second."""
    instances = Docker(liar.path, BRIDGE.name, BRIDGE.gateway, files=real.place.folder / "files")
    yield instances
    liar.lies(None, "")
    instances.close()


async def about_to(verb: str, real: RealEngine) -> Specification:
    """An instance to which the verb can be done."""
    wanted = specification(await real.instances.resolve(IMAGE))
    if verb != "create":
        await real.instances.create(wanted, "op-1")
    if verb not in ("create", "start"):
        await real.instances.start(wanted.id)
    return wanted


async def do(verb: str, instances: Docker, wanted: Specification) -> None:
    match verb:
        case "create":
            await instances.create(wanted, "op-1")
        case "start":
            await instances.start(wanted.id)
        case "stop":
            await instances.stop(wanted.id, 0)
        case "remove":
            await instances.remove(wanted.id)
        case _:
            await instances.take_back(wanted.id, "op-1")


async def status(real: RealEngine, id: str) -> str | None:
    found = await real.instances.look(id)
    return found.status if found else None


@pytest.mark.parametrize("lie", ["nothing", "error", "half", "garbage", "hang"])
@pytest.mark.parametrize("verb", ABOUT)
def test_what_was_not_done_is_not_called_done(
    real: RealEngine, liar: Liar, lied_to: Docker, verb: str, lie: Lie
) -> None:
    async def scenario() -> None:
        wanted = await about_to(verb, real)
        before = await status(real, wanted.id)
        liar.lies(lie, ABOUT[verb])
        lied_to.engine.within = 0.5 if lie == "hang" else 30.0
        with pytest.raises(EngineUnavailable if lie == "hang" else EngineProblem, match=f"cannot .*{wanted.id}"):
            await do(verb, lied_to, wanted)
        assert await status(real, wanted.id) == before
        liar.lies(None, "")
        lied_to.engine.within = 30.0
        await do(verb, lied_to, wanted)
        assert await status(real, wanted.id) == WANTED[verb]

    asyncio.run(scenario())


@pytest.mark.parametrize(("verb", "lie"), [*DONE, ("start", "done and hang"), ("take back", "done and hang")])
def test_what_was_done_is_not_called_a_failure(
    real: RealEngine, liar: Liar, lied_to: Docker, verb: str, lie: Lie
) -> None:
    async def scenario() -> None:
        wanted = await about_to(verb, real)
        liar.lies(lie, ABOUT[verb])
        lied_to.engine.within = 3.0 if "hang" in lie else 30.0
        await do(verb, lied_to, wanted)
        assert await status(real, wanted.id) == WANTED[verb]

    asyncio.run(scenario())


@pytest.mark.parametrize("lie", ["error", "half", "garbage", "hang", "done and half"])
def test_no_answer_is_not_absent(real: RealEngine, liar: Liar, lied_to: Docker, lie: Lie) -> None:
    async def scenario() -> None:
        lied_to.engine.within = 0.5 if lie == "hang" else 30.0
        wanted = await about_to("stop", real)
        liar.lies(lie, r"GET \S*/containers/")
        for look in (lied_to.look(wanted.id), lied_to.all()):
            with pytest.raises(EngineProblem):
                await look
        for change in ("start", "stop", "remove", "take back"):
            with pytest.raises(EngineProblem):
                await do(change, lied_to, wanted)
        assert await status(real, wanted.id) == "running"

    asyncio.run(scenario())


@pytest.mark.parametrize("lie", ["error", "half", "garbage"])
def test_an_image_is_not_missing_because_the_engine_is_confused(
    real: RealEngine, liar: Liar, lied_to: Docker, lie: Lie
) -> None:
    liar.lies(lie, r"GET \S*/images/")
    with pytest.raises(EngineProblem) as caught:
        asyncio.run(lied_to.resolve(IMAGE, pull="never"))
    assert type(caught.value) in (EngineProblem, EngineUnavailable)


def test_the_beginning_of_an_id_is_no_name(real: RealEngine) -> None:
    async def scenario() -> None:
        wanted = await about_to("stop", real)
        id = real.raw.inspect_container(wanted.id)["Id"]
        for word in (id, id[:12]):
            assert await real.instances.look(word) is None
            await real.instances.remove(word)
        assert await status(real, wanted.id) == "running"

    asyncio.run(scenario())


def test_an_engine_that_is_not_there(real: RealEngine) -> None:
    nobody = Docker(real.place.socket.with_name("nobody"), BRIDGE.name, files=real.place.folder / "files")
    try:
        for what in (nobody.look("web"), nobody.all(), nobody.start("web"), nobody.resolve(IMAGE)):
            with pytest.raises(EngineUnavailable, match="nobody"):
                asyncio.run(what)
    finally:
        nobody.close()


def test_a_cancelled_change_is_waited_for(real: RealEngine, liar: Liar, lied_to: Docker) -> None:
    async def scenario() -> None:
        wanted = await about_to("stop", real)
        liar.lies(None, ABOUT["stop"])
        lied_to.engine.within = 5.0
        stopping = asyncio.create_task(lied_to.stop(wanted.id, 1))
        assert await asyncio.to_thread(liar.heard.wait, 5)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert await status(real, wanted.id) == "stopped", "the late effect of a cancelled stop would outlive its undo"

    asyncio.run(scenario())
