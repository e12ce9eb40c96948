"""What is told of machines, whichever is asked: as their daemons tell it, and as the records do of who is silent."""

import asyncio
from typing import Any, cast

import pytest
from msgspec import convert
from msgspec.structs import replace

from daemon.membership import alone
from daemon.meshing import Meshing
from daemon.mirror import Mirror
from daemon.survey import Asked, Survey
from daemon.wire import MachineInspect, MachineLs, MachineRtt, MachineSeen, Refused
from runtime.instance import EngineUnavailable
from tests.fakes.mesh import FakeMesh
from tests.fakes.seen import AT, CAPACITY, RUNTIME
from tests.unit.test_looking_everywhere import WHY, World


class Heard:
    """m3 was not heard for long, if that has been noticed; everybody else is."""

    def __init__(self, silence: str = "") -> None:
        self.said = silence

    def silence(self, machine: str) -> str:
        return self.said if machine == "m3" else ""

    def last_heard(self, machine: str) -> str | None:
        return None if machine == "m1" else AT


def survey(world: World, silence: str = "") -> Survey:
    mesh = FakeMesh(alone("m1", AT, "0.1.0"))
    return Survey(cast(Meshing, mesh), cast(Mirror, world.mirror), Heard(silence), world.looking.sites)


def look(request: Asked, world: World | None = None, silence: str = "") -> tuple[dict[str, Any], list[str]]:
    told = asyncio.run(survey(world or World(), silence).look(request))
    return told.result, told.warnings


def inspected(name: str, world: World | None = None) -> tuple[MachineSeen, list[str]]:
    result, warnings = look(MachineInspect(name), world)
    return convert(result, MachineSeen), warnings


def test_each_machine_that_answers_tells_since_when_it_does_not_see_the_records() -> None:
    result, warnings = look(MachineLs())
    assert [(row["name"], row["reachable"], row["stale_since"]) for row in result["machines"]] == [
        ("m1", True, None),
        ("m2", True, AT),
        ("m3", False, None),
    ]
    assert warnings == [WHY]


def test_who_is_known_to_be_silent_and_does_not_answer_either_is_named_once() -> None:
    assert look(MachineLs(), silence="nothing was heard of it")[1] == [WHY]


def test_a_machine_that_leaves_is_draining() -> None:
    world = World()
    machines = world.mirror.machines()
    left = {**machines, "m2": replace(machines["m2"], state="leaving")}
    world.mirror.machines = lambda: left  # type: ignore[method-assign]
    assert [row["state"] for row in look(MachineLs(), world)[0]["machines"]] == ["active", "draining", "active"]


def test_a_machine_is_looked_into_by_what_it_tells_and_what_is_committed_there() -> None:
    found, warnings = inspected("m2")
    assert (found.name, found.reachable, found.stale_since, found.heard_at) == ("m2", True, AT, None)
    assert (found.capacity, found.runtime) == (CAPACITY, RUNTIME)
    assert (found.pool.root, found.pool.used, found.pool.size) == ("two", 10, 100)
    assert [(one.id, one.state) for one in found.instances] == [("web-2", "running")]
    assert [(one.name, one.bytes, one.mounted) for one in found.volumes] == [("data", 50, True)]
    assert warnings == [WHY], "copies may be where nobody answers"


def test_of_a_machine_that_does_not_answer_the_records_tell_and_when_it_was_last_heard() -> None:
    world = World()
    machines = world.mirror.machines()
    known = {**machines, "m3": replace(machines["m3"], root="three")}
    world.mirror.machines = lambda: known  # type: ignore[method-assign]
    found, warnings = inspected("m3", world)
    assert (found.reachable, found.heard_at, found.capacity, found.runtime) == (False, AT, None, None)
    assert (found.pool.root, found.pool.used, found.pool.size) == ("three", None, None)
    assert [(one.id, one.state) for one in found.instances] == [("web-3", "unknown")]
    assert [(one.name, one.bytes) for one in found.volumes] == [("more", None)]
    assert warnings == [WHY]


def test_where_only_a_part_cannot_be_asked_the_rest_is_told() -> None:
    world = World()
    world.engines["m2"].problem = EngineUnavailable("no answer")
    found, warnings = inspected("m2", world)
    assert (found.reachable, found.pool.used, [one.state for one in found.instances]) == (True, 10, ["unknown"])
    assert warnings == [WHY, "the engine of m2 cannot be asked: no answer"]


def test_nobody_looks_into_a_machine_that_there_is_not() -> None:
    with pytest.raises(Refused) as refused:
        look(MachineInspect("m9"))
    assert refused.value.code == "machine.missing"


def test_every_machine_that_answers_measures_its_own_ways() -> None:
    result, warnings = look(MachineRtt())
    assert [(pair["from"], pair["to"]) for pair in result["pairs"]] == [
        *(("m1", "m2"), ("m1", "m3")),
        *(("m2", "m1"), ("m2", "m3")),
    ]
    assert warnings == [WHY]
