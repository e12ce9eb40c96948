"""What can be seen, when all is well and when it is not."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from daemon.looking import Looked, Looking
from daemon.records import DeployPoint, Held, Namespace
from daemon.sites import Site, Sites, Told
from daemon.wire import (
    Event,
    Export,
    History,
    HistoryShow,
    Logs,
    NamespaceInspect,
    NamespaceLs,
    OperationRow,
    Output,
    Ps,
    Refused,
    Status,
    Success,
    Version,
)
from dataplane.dataset import Dataset, PoolUnavailable
from runtime.instance import EngineUnavailable
from tests.fakes.seen import AT, SeenDaemon, SeenEngine, SeenMirror, SeenPool, condition, head, service

SHOP = head("shop", 3, service("db", "db-1"), service("web", "web-1", "web-2", routes=("shop.example.com",)))
OLD = head("shop", 2, service("db", "db-0"))
RUNNING = OperationRow("op-9", "deploy", "running", "ann", AT)


class World:
    def __init__(self, engine: SeenEngine | None = None) -> None:
        self.mirror = SeenMirror({"shop": Namespace(SHOP), "gone": Namespace()})
        self.mirror.history = [DeployPoint(OLD, (Held("data", "tank/shop/data/op-2@op-3", "77"),), "op-3", AT)]
        self.engine = engine or SeenEngine(condition("db-1"), condition("web-1"), condition("web-2", "created"))
        self.pool = SeenPool()
        self.minutes = 0
        self.unstarted: dict[str, str] = {}
        sites = Sites(Site("m1", self.engine, self.pool, SeenDaemon("m1", self.tell)))
        self.looking = Looking("m1", self.mirror, sites, {"version": "0.1.0"}, self.now)

    async def tell(self) -> Told:
        return Told([RUNNING], self.unstarted)

    def now(self) -> datetime:
        return datetime(2030, 1, 1, 0, self.minutes, 0, tzinfo=UTC)

    def look(self, request: Looked) -> Success:
        return asyncio.run(self.looking.look(request, silent))

    def refused(self, request: Looked) -> Refused:
        with pytest.raises(Refused) as refused:
            self.look(request)
        return refused.value


async def silent(line: Event | Output) -> None:
    raise AssertionError(f"nobody asked for {line}")


def row(success: Success, id: str) -> dict[str, Any]:
    return next(row for row in success.result["instances"] if row["id"] == id)


def test_status() -> None:
    status = World().look(Status())
    assert status.kind == "status"
    assert status.warnings == []
    [shop] = status.result["namespaces"]
    assert (shop["name"], shop["deploy"], shop["routes"]) == ("shop", 3, ["shop.example.com"])
    assert [(one["name"], one["ready"], one["wanted"]) for one in shop["services"]] == [("db", 1, 1), ("web", 1, 2)]
    assert status.result["machines"] == [
        {"name": "m1", "reachable": True, "store": True, "version": "0.1.0", "state": "active", "stale_since": None}
    ]
    assert status.result["pools"] == [{"machine": "m1", "used": 10, "size": 100}]
    assert status.result["operations"][0]["id"] == "op-9"
    assert status.result["store"]["reachable"] is True


def test_status_when_nothing_answers() -> None:
    world = World()
    world.mirror.stale_since = AT
    world.engine.problem = EngineUnavailable("no answer")
    world.pool.problem = PoolUnavailable("suspended")
    status = world.look(Status())
    assert status.result["stale_since"] == AT
    assert [one["ready"] for one in status.result["namespaces"][0]["services"]] == [0, 0]
    assert status.result["pools"] == []
    stale, engine, pool = status.warnings
    assert AT in stale
    assert "no answer" in engine
    assert "suspended" in pool


@pytest.mark.parametrize(("used", "warns"), [(79, False), (80, True), (100, True)])
def test_a_pool_that_fills_up(used: int, warns: bool) -> None:
    world = World()
    world.pool.used = used
    assert any(f"{used} % full" in warning for warning in world.look(Status()).warnings) == warns


@pytest.mark.parametrize(
    ("status", "restarts", "minutes", "warns"),
    [
        ("running", 2, 1, False),
        ("running", 3, 1, True),
        ("running", 3, 30, False),
        ("restarting", 1, 30, True),
    ],
)
def test_an_instance_that_keeps_restarting(status: Any, restarts: int, minutes: int, warns: bool) -> None:
    world = World()
    crashing = condition("web-2", status, restarts=restarts, last_exit=1)
    world.engine.conditions = (condition("db-1"), condition("web-1"), crashing)
    world.minutes = minutes
    told = [warning for warning in world.look(Status()).warnings if "web-2" in warning]
    assert ["keeps restarting" in warning for warning in told] == [True] * warns


def test_ps_lists_what_is_committed_in_the_engines_condition() -> None:
    world = World()
    world.engine.conditions = (condition("web-1"), condition("web-2", "stopped", last_exit=3), condition("stranger"))
    shown = world.look(Ps())
    assert shown.kind == "instances"
    assert [one["id"] for one in shown.result["instances"]] == ["db-1", "web-1", "web-2"]
    assert (row(shown, "db-1")["state"], row(shown, "db-1")["since"]) == ("missing", None)
    assert (row(shown, "web-1")["state"], row(shown, "web-1")["since"]) == ("running", AT)
    assert (row(shown, "web-2")["state"], row(shown, "web-2")["last_exit"]) == ("stopped", 3)
    assert row(shown, "web-1")["image"] == "web:1"
    assert row(shown, "web-1")["ip"] == "10.210.0.2"
    assert any("db-1" in warning for warning in world.look(Status()).warnings)


def test_what_has_ended_is_told_with_its_last_words() -> None:
    world = World()
    world.engine.conditions = (condition("db-1"), condition("web-1"), condition("web-2", "stopped", last_exit=3))
    world.engine.lines["web-2"] = [("stderr", AT, f"line {number}".encode()) for number in range(5)]
    for look in (Status(), Ps("shop")):
        [told] = world.look(look).warnings
        assert "instance web-2 of shop/web has ended (last exit 3)" in told
        assert told.endswith("line 2\nline 3\nline 4")


def test_what_was_not_started_after_a_boot_is_told_with_the_reason_until_it_runs() -> None:
    world = World()
    world.unstarted = {"web-1": "the wrong epoch", "web-2": "the wrong epoch"}
    world.engine.conditions = (condition("db-1"), condition("web-1"), condition("web-2", "stopped", last_exit=255))
    for shown in (world.look(Status()), world.look(Ps())):
        assert shown.warnings == ["instance web-2 of shop/web was not started after the boot: the wrong epoch"]


def test_a_stopped_service_is_listed_without_an_instance() -> None:
    world = World()
    stopped = replace(service("web"), stopped=True)
    world.mirror.records["shop"] = Namespace(head("shop", 4, service("db", "db-1"), stopped))
    status = world.look(Status())
    assert status.warnings == []
    assert [(one["ready"], one["wanted"]) for one in status.result["namespaces"][0]["services"]] == [(1, 1), (0, 0)]
    shown = row(world.look(Ps()), "")
    assert (shown["service"], shown["state"]) == ("web", "stopped")
    refused = world.refused(Logs("shop", "web"))
    assert (refused.code, refused.hint) == ("service.stopped", "ployzctl start shop/web")


def test_ps_without_an_engine_does_not_guess() -> None:
    world = World()
    world.engine.problem = EngineUnavailable("no answer")
    shown = world.look(Ps("shop"))
    assert {one["state"] for one in shown.result["instances"]} == {"unknown"}
    assert "no answer" in shown.warnings[0]


def test_history_is_newest_first() -> None:
    shown = World().look(History("shop"))
    new, old = shown.result["deploys"]
    assert (new["number"], new["current"], new["snapshots"]) == (3, True, {})
    assert (old["number"], old["current"], old["operation"]) == (2, False, "op-2")
    assert old["snapshots"] == {"data": "tank/shop/data/op-2@op-3"}
    assert old["images"] == {"db": "db:1@sha256:ab"}


@pytest.mark.parametrize("number", [2, 3])
def test_history_shows_a_deploy_with_its_manifest(number: int) -> None:
    shown = World().look(HistoryShow("shop", number))
    assert (shown.kind, shown.result["deploy"]["number"]) == ("deploy", number)
    data = "" if number == 3 else f'data = "deploy {number}"\n'
    assert shown.result["manifest"] == f'{data}namespace = "shop" # {number}\n'


def test_namespaces_with_what_they_hold() -> None:
    world = World()
    world.mirror.history.append(DeployPoint(head("gone", 5), (), "op-6", AT))
    marks = {"operation": "op-2", "state": "kept"}
    names = (
        "tank/shop",
        "tank/shop/data",
        "tank/shop/data/op-2",
        "tank/shop/data/op-2@op-3",
        "tank/gone/data/op-5@op-6",
    )
    world.pool.datasets = [Dataset(name, name, None, marks if "op-2" in name else {}, 10) for name in names]
    listed = world.look(NamespaceLs()).result
    assert [(one["name"], one["deploy"], one["bytes"]) for one in listed["namespaces"]] == [("shop", 3, 30)]
    assert listed["removed"] == [{"name": "gone", "deploy": 5, "bytes": 10}]
    shop = world.look(NamespaceInspect("shop")).result
    assert shop["kept"] == [{"volume": "data", "generation": "op-2", "bytes": 20}]
    assert ([one["name"] for one in shop["services"]], [one["number"] for one in shop["deploys"]]) == (
        ["db", "web"],
        [3, 2],
    )
    refused = world.refused(Ps("gone"))
    assert (refused.code, refused.hint) == ("namespace.missing", "ployzctl rollback gone brings it back")
    gone = world.look(NamespaceInspect("gone")).result
    assert (gone["removed"], gone["deploy"], gone["services"]) == (True, 5, [])
    assert [one["number"] for one in world.look(History("gone")).result["deploys"]] == [5]
    world.pool.problem = PoolUnavailable("no answer")
    silent = world.look(NamespaceLs())
    assert [one["bytes"] for one in silent.result["namespaces"]] == [None]
    assert "cannot be asked" in silent.warnings[0]


def test_export_and_version() -> None:
    assert World().look(Export("shop")) == Success("manifest", {"manifest": SHOP.manifest})
    assert World().look(Version()).result == {"version": "0.1.0", "machine": "m1", "protocol": 1}


@pytest.mark.parametrize(
    ("request_", "code", "why", "hint"),
    [
        (Ps("shpo"), "namespace.missing", "there is no namespace shpo", "did you mean shop?"),
        (Ps("gone"), "namespace.missing", "there is no namespace gone", "ployzctl status"),
        (Export("other"), "namespace.missing", "there is no namespace other", "ployzctl status"),
        (History("other"), "namespace.missing", "there is no namespace other", "ployzctl status"),
        (HistoryShow("shop", 1), "deploy.missing", "shop has no deploy 1", "ployzctl history shop"),
        (Logs("shop", "wev"), "service.missing", "there is no service wev in shop", "did you mean shop/web?"),
        (Logs("shop", "x"), "service.missing", "there is no service x in shop", "ployzctl ps shop"),
        (Logs("shop", "web", since="10 minutes"), "logs.since", "is no time of RFC 3339", "--since 10m"),
        (Logs("shop", "web", tail=-1), "logs.tail", "there are no -1 lines", "--tail 10"),
    ],
)
def test_what_cannot_be_shown(request_: Looked, code: str, why: str, hint: str) -> None:
    refused = World().refused(request_)
    assert refused.code == code
    assert why in refused.why
    assert hint in refused.hint
    assert refused.what.startswith("cannot ")


def test_logs_without_an_engine_or_an_instance() -> None:
    world = World()
    world.engine.conditions = ()
    assert world.refused(Logs("shop", "web")).code == "instance.missing"
    world.engine.problem = EngineUnavailable("no answer")
    assert world.refused(Logs("shop", "web")).code == "engine.down"
