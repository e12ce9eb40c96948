"""Machines come, fall silent and leave, the founder too: the records outlive all of it."""

import asyncio
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from daemon.dev.cluster import Site, locate
from daemon.dev.main import PLOYZD
from tests.machine.cluster import Cluster, gone, scratch, wait_until
from tests.machine.cutting import kill_when
from tests.machines.members import (
    ELECTED,
    HEALED,
    acknowledged,
    is_alone,
    is_stale,
    keepers,
    machines,
    secrets,
    set_secret,
)

NAME = "kin"
SLEEPER = (
    'namespace = "{}"\n[services.one]\nruntime = "host"\ncommand = ["sleep", "{}"]\nplace = {{ machine = "m2" }}\n'
)
READER = (
    'namespace = "told"\n[services.one]\nruntime = "host"\nsecrets = ["LATER"]\nplace = { machine = "m1" }\n'
    'command = ["sh", "-c", "echo it is $(cat $LATER_FILE); exec sleep 1003"]\n'
)


@pytest.fixture(scope="module")
def kin() -> Iterator[Cluster]:
    """Three machines, which all keep the records and came one after the other; `lasting` runs on m2."""
    with scratch(NAME) as made:
        made.up(2)
        made.up(3)
        made.on("m3").deployed(SLEEPER.format("lasting", 1001))
        yield made


def all_keep(cluster: Cluster) -> bool:
    return keepers(cluster) == ["m1", "m2", "m3"]


def cut(kin: Cluster, name: str) -> None:
    kin.done("dev", "kill", name, "--name", NAME)


def start_again(cluster: Cluster) -> None:
    pid = cluster.daemon()
    os.kill(pid, signal.SIGKILL)
    wait_until(partial(gone, pid), "its daemon is gone")
    asyncio.run(locate(NAME, Site(cluster.root, PLOYZD)).machine(cluster.at).start_daemon())
    wait_until(lambda: cluster.ctl("version").code == 0, "its daemon answers")


def test_the_third_machine_has_the_records_kept_by_three(kin: Cluster) -> None:
    for name in ("m1", "m2", "m3"):
        wait_until(partial(all_keep, kin.on(name)), f"{name} knows who keeps the records")
        assert set_secret(kin.on(name), name.upper()).code == 0
    told = [row for row in kin.done("op", "ls", "--all")["operations"] if row["primitive"] == "store.move"]
    assert [row["state"] for row in told] == ["done"]


def test_without_any_one_changes_go_on_and_without_two_reads_do(kin: Cluster) -> None:
    cut(kin, "m3")
    acknowledged(kin, "WITHOUT_ONE")
    cut(kin, "m2")
    wait_until(lambda: set_secret(kin, "WITHOUT_TWO").code != 0, "nothing is acknowledged without a majority")
    refuses_and_tells(kin)
    start_again(kin)  # and what it answers right after its start is the same
    refuses_and_tells(kin)
    wait_until(partial(is_stale, kin), "it says that it may be old", within=ELECTED)
    kin.up()
    for name in ("m1", "m2", "m3"):
        acknowledged(kin.on(name), f"AFTER_{name.upper()}")
    assert {"WITHOUT_ONE", "AFTER_M1", "AFTER_M2", "AFTER_M3"} <= {*secrets(kin)}


def refuses_and_tells(kin: Cluster) -> None:
    refused = set_secret(kin, "WITHOUT_TWO")
    assert (refused.code, refused.error["code"]) == (3, "store.down")
    assert "m2, m3" in refused.error["why"]
    assert [row["name"] for row in kin.done("namespace", "ls")["namespaces"]] == ["lasting"]


def test_the_founder_leaves_asked_by_itself_and_comes_back(kin: Cluster) -> None:
    before = {*secrets(kin)}
    removed = kin.done("machine", "rm", "m1")
    assert (removed["name"], removed["fenced"]) == ("m1", True)
    m2, m3 = kin.on("m2"), kin.on("m3")
    wait_until(partial(is_alone, kin), "m1 is a cluster of its own")
    assert list(machines(m2)) == list(machines(m3)) == ["m2", "m3"]
    assert keepers(m2) == keepers(m3) == ["m2"]
    assert kin.done("namespace", "ls")["namespaces"] == []
    assert {*secrets(m3)} == before
    assert set_secret(m3, "LATER").code == 0
    token = m2.done("machine", "invite", "--name", "m1")["token"]
    assert kin.done("join", token)["store"] == {"machines": ["m1", "m2", "m3"], "replicas": 3}
    assert {*secrets(kin)} == before | {"LATER"}
    sees_what_was_sealed_while_it_was_away(kin)


def sees_what_was_sealed_while_it_was_away(kin: Cluster) -> None:
    asked = kin.on("m3")
    asked.deployed(READER)
    wait_until(lambda: "it is x" in asked.plain("logs", "told/one").out, "the secret is read on m1")
    asked.done("namespace", "rm", "told")


def test_a_machine_with_instances_stays_and_so_does_the_store(kin: Cluster) -> None:
    assert kin.on("m3").ctl("machine", "rm", "m2").error["code"] == "machine.occupied"
    assert kin.on("m2").ctl("machine", "rm", "m2").error["code"] == "machine.occupied"
    assert keepers(kin) == ["m1", "m2", "m3"]


def test_a_move_of_the_store_is_ended_without_the_machine_that_began_it(kin: Cluster) -> None:
    """m3 is lost while the records are on their way: whatever came of it, m2 finds out, and changes are taken again."""
    m2, m3 = kin.on("m2"), kin.on("m3")
    asked = m3.begin("machine", "rm", "m1", "--json")
    wait_until(lambda: bool(moves(m3)), "the store begins to move")
    assert kill_when(moves(m3)[0], is_sealed, m3.daemon())
    cut(kin, "m3")
    asked.communicate()
    wait_until(lambda: not machines(m2)["m3"]["reachable"], "m3 is out of reach")
    [row] = [row for row in m2.done("op", "ls")["operations"] if row["primitive"] == "store.move"]
    assert (row["machine"], row["state"]) == ("m3", "unknown")
    wait_until(partial(needs_m3, m2, row["id"]), "m2 reaches the records, and m3 is asked for", within=ELECTED)
    taking_over = partial(m2.ctl, "op", "resume", row["id"], "--take-over")
    wait_until(lambda: taking_over().code != 3, "the records take changes without m3", within=HEALED)
    ended = taking_over()
    assert ended.code in (0, 4), ended.out
    acknowledged(m2, "MOVED_ON")
    acknowledged(kin, "MOVED_ON_BY_M1")
    kin.up()
    for name in ("m1", "m2", "m3"):
        acknowledged(kin.on(name), f"MOVED_{name.upper()}")
        assert keepers(kin.on(name)) == (["m2"] if ended.code == 0 else ["m1", "m2", "m3"])
        assert kin.on(name).done("op", "ls")["operations"] == []


def needs_m3(m2: Cluster, operation: str) -> bool:
    """Whether it is refused because of m3 alone: those who are left may have to elect who leads them first."""
    refused = m2.ctl("op", "resume", operation).error
    assert refused["code"] in ("machine.unreachable", "store.down")
    return bool(refused["code"] == "machine.unreachable")


def moves(cluster: Cluster) -> list[Path]:
    """The journals of moves of the store that this machine has begun and not ended."""
    found = (cluster.machine / "data" / "operations").glob("*.jsonl")
    told = {journal: journal.read_text() for journal in found}
    return [journal for journal, text in told.items() if '"store.move"' in text and '{"answer":' not in text]


def is_sealed(journal: list[str]) -> bool:
    """From then on the old store takes nothing, and the records are carried over."""
    return any("carry all records over" in line for line in journal[1:])


def test_one_that_is_off_is_removed_by_force_and_its_keys_are_refused(kin: Cluster) -> None:
    cut(kin, "m3")
    acknowledged(kin, "WITHOUT_M3")
    wait_until(lambda: not machines(kin)["m3"]["reachable"], "m3 is out of reach")
    assert kin.ctl("machine", "rm", "m3").error["code"] == "machine.unreachable"
    removed = kin.ctl("machine", "rm", "m3", "--force").json
    assert not removed["result"]["fenced"]
    assert "has to be off" in removed["warnings"][0]
    assert list(machines(kin)) == ["m1", "m2"]
    assert len(keepers(kin)) == 1
    kin.up()
    m3 = kin.on("m3")
    assert set_secret(m3, "BY_M3").error["code"] == "store.down"
    for name in ("m1", "m2"):
        assert [row["machine"] for row in kin.on(name).done("mesh", "status")["peers"]] == [
            {"m1": "m2", "m2": "m1"}[name]
        ]
    m3.done("mesh", "destroy", "--force")
    wait_until(partial(is_alone, m3), "m3 is alone")


def test_the_last_one_is_a_cluster_of_its_own_again(kin: Cluster) -> None:
    """Asked at the machine that stays: the other one has nothing, and may keep the records."""
    m2 = kin.on("m2")
    assert m2.done("machine", "rm", "m1")["fenced"]
    assert (list(machines(m2)), keepers(m2)) == (["m2"], ["m2"])
    assert m2.ctl("machine", "rm", "m2").error["code"] == "machine.last"
    assert m2.done("mesh", "destroy")["network"] == ""
    wait_until(lambda: m2.ctl("version").code == 0, "its daemon answers")
    assert [row["name"] for row in m2.done("namespace", "ls")["namespaces"]] == ["lasting"]
    assert set_secret(m2, "ALONE").code == 0
    assert "LATER" in secrets(m2)
