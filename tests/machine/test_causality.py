"""Branches of three volumes that one writer fills in turn: no effect is there without its cause, no moment is mixed.

The moment of a branch is somewhere in the step that takes its snapshots, which the journal says the times of.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.machine.causal import State, causal
from tests.machine.cluster import Cluster, wait_until
from tests.machine.cutting import lines
from tests.machine.explained import explained

BRANCHES = ("copy-1", "copy-2", "copy-3")


@pytest.fixture
def writing(cluster: Cluster) -> Iterator[Cluster]:
    """Its writer is at work; nothing of it, or of its branches, is left afterwards."""
    cluster.deployed(causal())
    try:
        yield cluster
    finally:
        for name in ("causal", *BRANCHES):
            cluster.ctl("namespace", "rm", name, "--purge", "--yes")


def told(cluster: Cluster, path: str, namespace: str = "causal") -> Any:
    return json.loads(cluster.get(path, host=f"{namespace}.localhost"))


def snapshot(cluster: Cluster, operation: str) -> tuple[float, float]:
    """When its snapshots were begun, and when they were there."""
    events = [json.loads(line) for line in lines(cluster.journal(operation))[1:]]
    at = {one["kind"]: one["at"] for one in events if "snapshot causal" in one.get("step", "")}
    began, ended = (datetime.fromisoformat(at[kind]).timestamp() for kind in ("doing", "done"))
    return began, ended


def test_no_branch_has_an_effect_without_its_cause_and_each_is_of_one_moment(writing: Cluster) -> None:
    cluster = writing
    for name in BRANCHES:
        count = len(told(cluster, "/told"))
        wait_until(lambda before=count: len(told(cluster, "/told")) > before + 20, "it writes")  # type: ignore[misc]
        frozen = ("--freeze",) if name == BRANCHES[-1] else ()
        words = ("branch", "apply", "causal", name, "--set", "writer.env.WRITES=no", "--op-id", f"op-{name}")
        cluster.done(*words, *frozen)
        found = State.of(told(cluster, "/state", name))
        found.require_causes()
        written, (began, ended) = told(cluster, "/told"), snapshot(cluster, f"op-{name}")
        acknowledged = [number for number, _, durable in written if durable < began]
        later = [number for number, begun, _ in written if begun > ended]
        assert acknowledged
        assert set(acknowledged) <= set(found.files), "what was acknowledged before is missing"
        assert later, "it was not written meanwhile"
        assert not set(later) & set(found.database), "what was begun afterwards is there"
    explained(cluster)
