"""What is seen of several machines: what each of them tells, and nothing guessed of one that does not answer."""

import asyncio

import pytest
from msgspec.structs import replace

from daemon.looking import Looked, Looking
from daemon.records import Machine, Namespace, Running, Volume
from daemon.sites import Site, Sites, Told
from daemon.wire import (
    BranchDiff,
    Event,
    Exec,
    Logs,
    NamespaceInspect,
    NamespaceLs,
    OperationRow,
    Output,
    Ps,
    Refused,
    Status,
    Success,
    VolumeLs,
    VolumeSnapshots,
)
from dataplane.dataset import Dataset, Space
from runtime.instance import Condition, EngineProblem, EngineUnavailable
from tests.fakes.seen import AT, SeenDaemon, SeenEngine, SeenMirror, SeenPool, condition, head, service
from tests.unit.test_looking_exec import Screen, typed

PLACES = (("web-1", "m1"), ("web-2", "m2"), ("web-3", "m3"))


class Away(SeenEngine):
    """The engine of a machine that does not answer."""

    async def all(self) -> list[Condition]:
        raise Refused("machine.unreachable", "cannot ask m3", "nothing was heard of it")


class AwayPool(SeenPool):
    async def below(self, name: str) -> list[Dataset]:
        raise Refused("machine.unreachable", "cannot ask m3", "nothing was heard of it")

    async def space(self) -> Space:
        raise Refused("machine.unreachable", "cannot ask m3", "nothing was heard of it, for another time")


class World:
    """Three machines, of which the third does not answer: a service on all of them, and a volume on the last two."""

    def __init__(self) -> None:
        web = replace(service("web"), instances=tuple(Running(id, at, "10.210.1.7", "op-1") for id, at in PLACES))
        shop = head("shop", 3, web)
        shop.volumes.update({name: Volume(name, at, "op-1", 1) for name, at in (("data", "m2"), ("more", "m3"))})
        self.mirror = SeenMirror({"shop": Namespace(shop)})
        self.engines = {"m1": SeenEngine(condition("web-1")), "m2": SeenEngine(condition("web-2")), "m3": Away()}
        self.pools = {"m1": SeenPool(root="one"), "m2": SeenPool(root="two"), "m3": AwayPool()}
        kept = Dataset("one/shop/data/op-0", "1", marks={"state": "kept"}, alone=5, used=6)
        self.pools["m1"].datasets = [kept, Dataset("one/shop/data/op-0@op-1", "2", alone=1)]
        self.pools["m2"].datasets = [Dataset("two/shop/data/op-1", "3", alone=40, used=40, refers=50, path="/x")]
        sites = {name: self.site(name) for name in self.engines}
        self.looking = Looking("m1", self.mirror, Sites(sites.pop("m1"), lambda: sites))
        machines = {name: Machine(name, name, "", f"10.210.{name[1]}.1", AT, "1") for name in self.engines}
        self.mirror.machines = lambda: machines  # type: ignore[method-assign]

    def site(self, name: str) -> Site:
        async def tell() -> Told:
            if name == "m3":
                raise Refused("machine.unreachable", "cannot ask m3", "nothing was heard of it")
            running = OperationRow(f"op-{name}", "deploy", "running", "ann", AT)
            return Told([running], {f"gone-{name}": "why"}, AT if name == "m2" else None)

        return Site(name, self.engines[name], self.pools[name], SeenDaemon(name, tell, tuple(self.engines)))

    def look(self, request: Looked) -> Success:
        async def emit(line: Event | Output) -> None:
            assert isinstance(line, Output)
            self.lines.append(line.data.decode())

        self.lines: list[str] = []
        return asyncio.run(self.looking.look(request, emit))


WHY = "m3 does not answer: nothing was heard of it"


def test_status_is_of_all_and_names_who_is_silent_once() -> None:
    status = World().look(Status())
    assert [(one["name"], one["reachable"]) for one in status.result["machines"]] == [
        ("m1", True),
        ("m2", True),
        ("m3", False),
    ]
    assert [one["stale_since"] for one in status.result["machines"]] == [None, AT, None]
    assert [pool["machine"] for pool in status.result["pools"]] == ["m1", "m2"]
    assert [one["id"] for one in status.result["operations"]] == ["op-m2", "op-m1"]
    [shop] = status.result["namespaces"]
    assert [(one["ready"], one["wanted"]) for one in shop["services"]] == [(2, 3)]
    assert status.warnings == [WHY]


def test_an_instance_is_missing_only_where_its_engine_says_so() -> None:
    world = World()
    world.engines["m2"].conditions = ()
    rows = world.look(Ps("shop"))
    assert {row["id"]: row["state"] for row in rows.result["instances"]} == {
        "web-1": "running",
        "web-2": "missing",
        "web-3": "unknown",
    }
    assert rows.warnings == [WHY, "instance web-2 of shop/web is missing: the engine does not know it"]
    world.engines["m2"].problem = EngineUnavailable("no answer")
    rows = world.look(Ps("shop"))
    assert [row["state"] for row in rows.result["instances"]] == ["running", "unknown", "unknown"]
    assert rows.warnings == [WHY, "the engine of m2 cannot be asked: no answer"]


def test_why_an_instance_was_not_started_is_known_of_each_machine_and_its_last_words_too() -> None:
    world = World()
    world.engines["m2"].conditions = (condition("web-2", "stopped", last_exit=3),)
    world.engines["m2"].lines["web-2"] = [("stderr", AT, b"no room")]
    [silent, ended] = world.look(Status()).warnings
    assert (silent, ended.endswith("has ended (last exit 3); the end of its log:\nno room")) == (WHY, True)


def test_logs_are_of_all_machines_by_time() -> None:
    world = World()
    for at, (id, machine) in enumerate(PLACES):
        world.engines[machine].lines[id] = [("stdout", f"2030-01-01T00:00:0{9 - at}.0Z", id.encode())]
    told = world.look(Logs("shop", "web"))
    assert world.lines == ["web-2", "web-1"]
    assert told.warnings == [WHY, "the log of web-3 is on m3"]


def test_a_command_runs_where_an_instance_does_here_if_it_can() -> None:
    world, screen = World(), Screen()
    asyncio.run(world.looking.exec(Exec("shop", "web", ["ls"]), typed(), screen))
    assert [len(world.engines[name].sessions) for name in ("m1", "m2")] == [1, 0]
    world.engines["m1"].conditions = ()
    asyncio.run(world.looking.exec(Exec("shop", "web", ["ls"]), typed(), screen))
    assert [len(world.engines[name].sessions) for name in ("m1", "m2")] == [1, 1]


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (None, "machine.unreachable"),
        (EngineProblem("no"), "engine.failed"),
        (EngineUnavailable("no answer"), "engine.down"),
    ],
)
def test_where_nobody_can_say_that_none_runs_it_is_not_said(problem: EngineProblem | None, code: str) -> None:
    world = World()
    world.engines["m1"].conditions = world.engines["m2"].conditions = ()
    world.engines["m2"].problem = problem
    with pytest.raises(Refused) as executed:
        asyncio.run(world.looking.exec(Exec("shop", "web", ["ls"]), typed(), Screen()))
    with pytest.raises(Refused) as logged:
        world.look(Logs("shop", "web"))
    assert executed.value.code == logged.value.code == code


def test_volumes_and_what_is_kept_are_of_all_pools_and_unknown_is_not_nothing() -> None:
    world = World()
    data, more = world.look(VolumeLs()).result["volumes"]
    assert (data["machine"], data["bytes"], data["alone"], data["mounted"]) == ("m2", 50, 40, True)
    assert (more["machine"], more["bytes"], more["alone"], more["mounted"]) == ("m3", None, None, False)
    kept = world.look(VolumeLs(kept=True))
    assert [(row["machine"], row["generation"]) for row in kept.result["volumes"]] == [("m1", "op-0")]
    assert kept.warnings == [WHY]
    snapshots = world.look(VolumeSnapshots("shop", "data")).result["snapshots"]
    assert [(row["machine"], row["snapshot"]) for row in snapshots] == [("m1", "op-1")]


def test_what_a_namespace_holds_is_summed_over_pools() -> None:
    world = World()
    assert [one["bytes"] for one in world.look(NamespaceLs()).result["namespaces"]] == [46]
    shop = world.look(NamespaceInspect("shop")).result
    assert {one["name"]: one["bytes"] for one in shop["volumes"]} == {"data": 40, "more": None}
    assert shop["kept"] == [{"volume": "data", "generation": "op-0", "bytes": 6}]
    world.mirror.records["copy"] = Namespace(head("copy", 1))
    difference = world.look(BranchDiff("shop", "copy"))
    assert [(one["name"], one["source"]) for one in difference.result["volumes"]] == [("data", 46), ("more", None)]
    assert difference.warnings == [WHY]
