"""The plane over parts in memory: views, flips, what it remembers, and what it does without the store."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import pytest

from daemon.node import Records, ServingProblem
from daemon.records import Head, Namespace, Service
from daemon.serving import ServingPlane
from daemon.wire import Refused
from dataplane.firewall import FirewallProblem
from dataplane.maps import Place
from tests.fakes.serving import FakeFirewall, FakeGateway, FakeNames
from tests.unit.test_projection import DB, MEMBER, NEW, OLD, WEB, head, service, view

T = TypeVar("T")
AT, STRANGER = 8080, "10.210.1.7"


def web(*up: Any, name: str = "web", address: str = WEB) -> Service:
    return service(name, address, *up, ports={"web": AT}, routes=("shop.example.com",))


BEFORE, AFTER = head(web(OLD)), msgspec.structs.replace(head(web(NEW)), operation="op-2", deploy=2)


@dataclass
class Heads:
    """Records that only tell what is committed, unless they are away."""

    committed: dict[str, Head] = field(default_factory=dict)
    away: bool = False

    async def namespaces(self) -> dict[str, Namespace]:
        if self.away:
            raise Refused("store.down", "cannot read the records")
        return {name: Namespace(head) for name, head in self.committed.items()}


@dataclass
class Scene:
    folder: Path
    heads: Heads = field(default_factory=lambda: Heads({"shop": BEFORE}))
    story: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.firewall, self.names, self.gateway = (
            FakeFirewall(self.touch),
            FakeNames(self.touch),
            FakeGateway(self.touch),
        )
        self.restart()
        asyncio.run(self.plane.mark_down(()))
        self.story.clear()

    def restart(self) -> None:
        """The daemon starts anew: only what is on the disk is remembered."""
        records = cast(Records, self.heads)
        self.plane = ServingPlane(self.firewall, self.names, self.gateway, records, self.folder)

    async def touch(self, what: str, effect: Callable[[], T]) -> T:
        self.story.append(what)
        return effect()

    def do(self, effort: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(effort)

    def who(self, source: str | None = STRANGER, address: str = WEB) -> set[str]:
        return {ip for ip, _ in self.firewall.who_answers(source, address, AT)}


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_view_is_for_its_members_until_it_is_dropped(scene: Scene) -> None:
    for _ in range(2):
        scene.do(scene.plane.show(view(web(NEW))))
        assert (scene.who(MEMBER), scene.who(STRANGER), scene.who(None)) == ({NEW.ip}, {OLD.ip}, {OLD.ip})
    for _ in range(2):
        scene.do(scene.plane.drop("op-2"))
        assert scene.who(MEMBER) == {OLD.ip}


def test_the_flip(scene: Scene) -> None:
    scene.do(scene.plane.show(view(web(NEW), withdrawn=("old",))))
    assert scene.who() == set()
    scene.heads.committed["shop"] = AFTER
    scene.story.clear()
    scene.do(scene.plane.drop("op-2", committed=AFTER))
    assert (scene.who(MEMBER), scene.who()) == ({NEW.ip}, {NEW.ip})
    assert scene.story == ["nft load"], "a flip is one transaction, and the gateway is told nothing"


def test_a_flip_does_not_need_the_store(scene: Scene) -> None:
    scene.do(scene.plane.show(view(web(NEW))))
    scene.heads.away = True
    scene.do(scene.plane.drop("op-2", committed=AFTER))
    assert scene.who() == {NEW.ip}
    scene.do(scene.plane.drop("another"))
    assert scene.who() == {NEW.ip}, "what was committed is remembered"


def test_an_undo_does_not_need_the_store_even_after_a_restart(scene: Scene) -> None:
    scene.do(scene.plane.show(view(web(NEW), withdrawn=("old",))))
    scene.heads.away = True
    scene.restart()
    scene.do(scene.plane.drop("op-2"))
    assert (scene.who(MEMBER), scene.who()) == ({OLD.ip}, {OLD.ip})


def test_nothing_is_taken_down_for_want_of_a_store(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "one")
    scene.heads.away = True
    scene.plane = replace(scene.plane, folder=tmp_path / "lost")
    with pytest.raises(Refused, match="cannot read the records"):
        scene.do(scene.plane.drop("op-2"))
    assert scene.who() == {OLD.ip}


def test_views_outlive_the_daemon_and_any_id_is_one(scene: Scene) -> None:
    odd = msgspec.structs.replace(view(web(NEW)), operation="../my op/7")
    scene.do(scene.plane.show(odd))
    scene.restart()
    scene.do(scene.plane.mark_down(()))
    assert scene.who(MEMBER) == {NEW.ip}
    scene.do(scene.plane.drop("../my op/7"))
    assert scene.who(MEMBER) == {OLD.ip}
    assert not list(scene.folder.glob("*.view"))


def test_a_view_is_forgotten_even_if_nothing_can_be_applied(scene: Scene) -> None:
    async def broken(what: str, effect: Callable[[], T]) -> T:
        raise FirewallProblem("the kernel said no")

    scene.do(scene.plane.show(view(web(NEW))))
    scene.plane.firewall = FakeFirewall(broken)
    with pytest.raises(ServingProblem, match="the kernel said no"):
        scene.do(scene.plane.drop("op-2"))
    scene.plane.firewall = scene.firewall
    scene.do(scene.plane.mark_down(()))
    assert scene.who(MEMBER) == {OLD.ip}


def test_a_route_that_moves_to_another_service_leads_somewhere_all_the_while(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    led: list[tuple[str, set[Place]]] = []

    async def watched(what: str, effect: Callable[[], T]) -> T:
        done = effect()
        [route] = scene.gateway.loaded
        address, port = route.to.split(":")
        led.append((what, scene.firewall.who_answers(None, address, int(port))))
        return done

    for part in (scene.firewall, scene.names, scene.gateway):
        part._touch = watched
    scene.heads.committed["shop"] = head(web(NEW, name="front", address=DB))
    scene.do(scene.plane.mark_down(()))
    assert [what for what, _ in led] == ["nft load", "names tell", "gateway load", "nft load"]
    assert [{ip for ip, _ in there} for _, there in led] == [{OLD.ip}, {OLD.ip}, {NEW.ip}, {NEW.ip}]
    assert scene.who(address=WEB) == set()


def test_instances_that_are_down_are_left_out_and_come_back(scene: Scene) -> None:
    scene.heads.committed["shop"] = head(web(OLD, NEW))
    scene.do(scene.plane.mark_down({"old"}))
    assert scene.who() == {NEW.ip}
    scene.do(scene.plane.mark_down(()))
    assert scene.who() == {OLD.ip, NEW.ip}


def test_of_other_machines_it_is_those_that_are_down_and_all_that_are_on_a_machine_that_is_gone(scene: Scene) -> None:
    scene.heads.committed["shop"] = head(web(OLD, msgspec.structs.replace(NEW, machine="m2")))
    scene.do(scene.plane.mark_down(()))
    assert scene.who() == {OLD.ip, NEW.ip}
    scene.do(scene.plane.mark_away({"m2"}, ()))
    assert scene.who() == {OLD.ip}
    scene.do(scene.plane.mark_down(()))
    assert scene.who() == {OLD.ip}
    scene.do(scene.plane.mark_away((), {"old"}))
    assert scene.who() == {NEW.ip}
    scene.do(scene.plane.mark_away((), ()))
    assert scene.who() == {OLD.ip, NEW.ip}


def test_agreement_is_asked_of_the_world(scene: Scene) -> None:
    assert scene.do(scene.plane.agrees(BEFORE)) == ""
    assert "it holds" in scene.do(scene.plane.agrees(AFTER))
    scene.names.hosts["web.shop.ployz.internal"] = DB
    assert scene.do(scene.plane.agrees(BEFORE)) == f"the name web.shop.ployz.internal is {DB}, not {WEB}"
    scene.names.hosts["web.shop.ployz.internal"] = WEB
    scene.gateway.loaded.clear()
    assert scene.do(scene.plane.agrees(BEFORE)) == "the gateway has other routes"


def test_what_a_head_dropped_and_is_served_yet_does_not_agree(scene: Scene) -> None:
    assert "it holds" in scene.do(scene.plane.agrees(head()))


def test_a_route_that_leads_to_no_port_is_refused_before_the_commit(scene: Scene) -> None:
    scene.do(scene.plane.check(AFTER))
    lost = service("web", WEB, NEW, ports={"a": 1, "b": 2}, routes=("shop.example.com",))
    with pytest.raises(ServingProblem, match="the routes of web lead to none of its ports"):
        scene.do(scene.plane.check(head(lost)))
    assert scene.who() == {OLD.ip}


def test_operations_take_turns(scene: Scene) -> None:
    async def both() -> None:
        views = [
            msgspec.structs.replace(view(web(NEW)), operation=f"op-{n}", members=(f"10.210.1.{n}",)) for n in (8, 9)
        ]
        await asyncio.gather(*(scene.plane.show(each) for each in views))

    scene.do(both())
    assert (scene.who("10.210.1.8"), scene.who("10.210.1.9")) == ({NEW.ip}, {NEW.ip})
