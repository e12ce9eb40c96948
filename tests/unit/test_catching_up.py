"""A machine on which nothing is done serves what others commit: at once, and else as soon as it can."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from daemon import catching_up
from daemon.catching_up import CatchingUp
from daemon.mirror import Mirror
from daemon.records import Token
from daemon.serving import ServingPlane
from daemon.store import Store
from dataplane.firewall import FirewallProblem
from tests.fakes.kv import FakeKv
from tests.fakes.records import claim, founded
from tests.fakes.serving import FakeFirewall, FakeGateway, FakeNames
from tests.unit.test_projection import DB, NEW, OLD, head, service

T = TypeVar("T")
AT = 8080


class Away:
    """A machine that was told nothing of what is done: the store as the others have it, and its own plane."""

    def __init__(self, folder: Path) -> None:
        self.kv, self.refusals, self.tries = FakeKv(), 0, 0
        self.firewall = FakeFirewall(self._touch)
        self.store = Store(self.kv)
        self.mirror = Mirror(folder / "mirror", self.kv)
        self.plane = ServingPlane(self.firewall, FakeNames(), FakeGateway(), self.store, folder / "serving")

    async def _touch(self, what: str, effect: Callable[[], T]) -> T:
        self.tries += 1
        if self.refusals:
            self.refusals -= 1
            raise FirewallProblem("the kernel said no")
        return effect()

    async def others_commit(self, operation: str, ip: str) -> None:
        web = service("db", DB, msgspec.structs.replace(OLD, ip=ip), ports={"db": AT})
        token = await self.store.claim("shop", claim(operation))
        assert isinstance(token, Token)
        await self.store.commit("shop", msgspec.structs.replace(head(web), operation=operation), operation, token)
        await self.store.free("shop", operation)

    def leads_to(self) -> set[str]:
        return {ip for ip, _ in self.firewall.who_answers(None, DB, AT)}


@asynccontextmanager
async def catching(folder: Path) -> AsyncIterator[Away]:
    """It serves what was committed before it began, and follows."""
    away = Away(folder)
    away.store = await founded(away.kv)
    away.plane.records = away.store
    await away.others_commit("op-1", OLD.ip)
    following = [
        asyncio.create_task(each) for each in (away.mirror.follow(), CatchingUp(away.mirror, away.plane).follow())
    ]
    try:
        async with asyncio.timeout(5):
            await away.mirror.current()
        await until(lambda: away.leads_to() == {OLD.ip})
        yield away
    finally:
        for task in following:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*following)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "AGAIN", 0.01)


def test_what_others_commit_is_served_here_and_other_news_are_none(tmp_path: Path) -> None:
    async def story() -> None:
        async with catching(tmp_path) as away:
            await away.others_commit("op-2", NEW.ip)
            await until(lambda: away.leads_to() == {NEW.ip})
            tries = away.tries
            await away.store.claim("shop", claim("op-3"))
            await until(lambda: away.mirror.namespaces()["shop"].claims)
            await asyncio.sleep(0.02)
            assert away.tries == tries, "nothing that is served has changed"

    asyncio.run(story())


def test_what_could_not_be_applied_is_tried_again_until_it_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with catching(tmp_path) as away:
            away.refusals = 3
            await away.others_commit("op-2", NEW.ip)
            await until(lambda: away.leads_to() == {NEW.ip})
            assert away.refusals == 0

    asyncio.run(story())


def test_news_that_came_before_the_store_went_away_are_served_once_it_is_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with catching(tmp_path) as away:
            tries = away.tries
            await away.others_commit("op-2", NEW.ip)
            away.kv.kill()
            await until(lambda: away.tries > tries + 1)
            assert away.leads_to() == {OLD.ip}, "of what it had read"
            away.kv.start()
            await until(lambda: away.leads_to() == {NEW.ip})

    asyncio.run(story())


def test_what_was_only_read_for_something_else_is_served_too(tmp_path: Path) -> None:
    """A deploy that is checked here reads all that was committed, and may be refused then."""

    async def story() -> None:
        async with catching(tmp_path) as away:
            await away.others_commit("op-2", NEW.ip)
            await away.plane.check(head(namespace="blog"))
            await until(lambda: away.leads_to() == {NEW.ip})

    asyncio.run(story())
