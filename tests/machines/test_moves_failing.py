"""A database that cannot be moved, or not to its end: it is served where it was, what came is taken back, and what
others have is left alone. A service that moves to and fro among deploys and rollbacks. On three real machines.
"""

from collections.abc import Iterator
from functools import partial
from subprocess import CalledProcessError
from typing import Any

import pytest

from tests.machine.cluster import Cluster, wait_until
from tests.machine.cutting import says
from tests.machine.test_full import leave_nothing, zfs
from tests.machines.moves import MACHINES, another, datasets, moved, placed, where, written_to
from tests.machines.remains import marks, require_nothing_left

LAB = (
    'namespace = "lab"\n[services.one]\nruntime = "host"\ncommand = ["sleep", "%d"]\n'
    'volumes = { data = "/mnt" }\nplace = { machine = "m1" }\n[volumes.data]\n'
)


@pytest.fixture(scope="module")
def shop(many: Cluster) -> Iterator[Cluster]:
    with placed(many):
        yield many


# ------------------------------------------------------------------------------------------------------ no room


@pytest.mark.parametrize("when", ["copy data", "send the last of"])
def test_a_target_that_fills_up_is_left_as_it_was(shop: Cluster, when: str) -> None:
    """In the first, full stream, and in the one after the writer was stopped."""
    source, target = where(shop), another(where(shop), "m2", "m3")
    there, before, fillers = shop.on(target), datasets(shop), list[str]()
    try:
        with written_to(shop):
            told = moved(shop, target, says('"doing"', when), lambda: fillers.append(leave_nothing(there)))
            assert (told["error"]["code"], told["error"]["state"]) == ("pool.full", "taken_back"), told
            refused = shop.ctl("migrate", "apply", "shop/db", "--to", target)
            assert (refused.code, refused.error["code"]) == (3, "pool.full")
            assert "has no room for" in refused.error["why"]
    finally:
        for filler in fillers:
            wait_until(partial(destroyed, there, filler), f"{filler} is no longer busy, and gone")
    assert where(shop) == source
    wait_until(lambda: datasets(shop) == before, "both pools hold what they held")
    require_nothing_left(shop, "shop", MACHINES)


# ----------------------------------------------------------------------------------------------- somebody in the way


def test_what_is_not_ours_is_left_alone(many: Cluster) -> None:
    """Somebody else's dataset, where the target's would go."""
    many.deployed(LAB.replace('"lab"', '"apart"') % 1000)
    there, strange = many.on("m2"), "ployz-m2/ployz/apart"
    zfs(there, "create", strange)
    zfs(there, "create", f"{strange}/data")
    try:
        facts = ("get", "-H", "-r", "guid,creation,used,origin,ployz:operation", strange)
        before = zfs(there, *facts)
        refused = many.ctl("migrate", "apply", "apart/one", "--to", "m2")
        assert (refused.code, refused.error["code"]) == (3, "volume.foreign")
        assert strange in refused.error["why"]
        assert zfs(there, *facts) == before
    finally:
        wait_until(partial(destroyed, there, strange), f"{strange} is no longer busy, and gone")
    require_nothing_left(many, "apart", MACHINES)
    many.done("namespace", "rm", "apart", "--purge", "--yes")


def destroyed(there: Cluster, dataset: str) -> bool:
    """One that was mounted a moment ago may be busy still."""
    try:
        zfs(there, "destroy", "-r", dataset)
    except CalledProcessError:
        return False
    return True


def test_what_cannot_be_is_refused(shop: Cluster) -> None:
    source = where(shop)
    for words, code in (
        (("shop/db", "--to", source), "migrate.there"),
        (("shop/db", "--to", "m9"), "machine.missing"),
        (("shop/db", "--to", another(source, *MACHINES), "--expect", "99"), "namespace.changed"),
    ):
        refused = shop.ctl("migrate", "apply", *words)
        assert (refused.code, refused.error["code"]) == (3, code)


# ------------------------------------------------------------------------------------------ to and fro, with a history


@pytest.fixture
def lab(many: Cluster) -> Iterator[Cluster]:
    """A process with data on m1, and a deploy point whose data is `first`."""
    many.deployed(LAB % 1000)
    note(many, "first")
    many.deployed(LAB % 1001)
    yield many
    for name in ("lab", "branch", "fork"):
        many.ctl("namespace", "rm", name, "--purge", "--yes")


def note(lab: Cluster, line: str, namespace: str = "lab") -> None:
    ran = lab.plain("exec", f"{namespace}/one", "--", "sh", "-c", f"echo {line} >> /mnt/lines; sync")
    assert ran.code == 0, ran.err


def notes(lab: Cluster, namespace: str = "lab") -> list[str]:
    return lab.plain("exec", f"{namespace}/one", "--", "cat", "/mnt/lines").out.split()


def to(lab: Cluster, machine: str) -> Any:
    [volume] = lab.done("migrate", "apply", "lab/one", "--to", machine)["volumes"]
    note(lab, f"on-{machine}")
    return volume


def left_on(lab: Cluster) -> dict[str, list[str]]:
    """The generations of the volume on each machine."""
    return {
        name: [one for one in lab.on(name).datasets() if "/lab/data/" in one and "@" not in one] for name in MACHINES
    }


def bases(lab: Cluster, machine: str) -> list[str]:
    """The snapshots that were left there for moves back."""
    told = marks(lab.on(machine), "ployz:state").items()
    return [name for name, state in told if state == "base" and "/lab/data/" in name]


def test_to_and_fro_among_deploys_rollbacks_and_branches(lab: Cluster) -> None:
    first, wanted = lab.done("history", "lab")["deploys"][-1]["number"], ["first"]
    for machine in ("m2", "m1", "m2", "m1"):
        to(lab, machine)
        wanted.append(f"on-{machine}")
        assert lab.deployed(LAB % 1001)["previous"] is None, "the same manifest changes nothing"
    assert notes(lab) == wanted
    require_nothing_left(lab, "lab", MACHINES)
    assert {name: len(found) for name, found in left_on(lab).items()} == {"m1": 1, "m2": 1, "m3": 0}
    assert {name: len(bases(lab, name)) for name in MACHINES} == {"m1": 1, "m2": 1, "m3": 0}
    lab.done("branch", "apply", "lab", "branch")
    lab.done("volume", "snapshot", "lab/data", "named")
    to(lab, "m2")
    lab.done("rollback", "lab")
    assert notes(lab) == ["first"], "of before the moves, where it is now"
    to(lab, "m3")
    lab.done("rollback", "lab")
    assert notes(lab) == [*wanted, "on-m2"], "of before the rollback"
    assert notes(lab, "branch") == wanted
    to(lab, "m1")
    lab.done("volume", "restore", "lab/data@named", "fork/data")
    require_nothing_left(lab, "lab", MACHINES)
    kept = lab.done("volume", "ls", "lab", "--kept")["volumes"]
    needless = [row for row in kept if not row["needed"]]
    assert needless, "what went along needs nothing of what was left"
    for row in needless:
        there = f"{row['namespace']}/{row['name']}"
        lab.on(row["machine"]).done("volume", "purge", there, "--kept", row["generation"], "--yes")
    left = {row["generation"] for row in lab.done("volume", "ls", "lab", "--kept")["volumes"]}
    assert left == {row["generation"] for row in kept if row["needed"]}
    lab.done("rollback", "lab", "--to", str(first))
    assert notes(lab) == ["first"]


def test_without_common_snapshots_all_goes_beside_what_is_there(lab: Cluster) -> None:
    full = to(lab, "m2")["bytes_full"]
    [left] = [one for one in lab.on("m1").datasets() if "/lab/data/" in one and "@" not in one]
    for snapshot in [one for one in lab.on("m1").datasets() if one.startswith(f"{left}@")]:
        zfs(lab.on("m1"), "destroy", snapshot)
    assert to(lab, "m1")["bytes_full"] >= full
    assert notes(lab) == ["first", "on-m2", "on-m1"]
    assert left in lab.on("m1").datasets(), "what was there is there"
