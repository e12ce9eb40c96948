"""Images reach machines without a registry, from the one that has them: with a deploy, or because somebody says so."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.machine.cluster import Cluster
from tests.machine.manifests import service

NAMES = ("m1", "m2", "m3")
DEPLOYED, SAID = "ployz-demo/web:2", "ployz-demo/web:3"
"""Such as no other file brings anywhere."""
HOST = "travel.localhost"


@pytest.fixture(scope="module")
def travel(many: Cluster) -> Iterator[Cluster]:
    """Both images are on m1 alone, also afterwards."""
    for image in (DEPLOYED, SAID):
        assert [*digests(many, image)] == ["m1"]
    yield many
    many.done("namespace", "rm", "travel", "--purge", "--yes")
    for name in NAMES[1:]:
        many.on(name).docker("rmi", "--force", DEPLOYED, SAID)


def digests(asked: Cluster, image: str) -> dict[str, str]:
    """What the name means on each machine that has it."""
    rows = asked.done("image", "ls")["images"]
    return {row["machine"]: row["digest"] for row in rows if row["name"] == image}


def test_an_image_that_one_machine_has_reaches_the_others_with_a_deploy(travel: Cluster) -> None:
    web = service("web", 2, replicas="3", routes=f'["{HOST}"]')
    words = ("deploy", "-f", "-")
    deployed = travel.on("m3").done(*words, given=f'namespace = "travel"\n{web}', within=300.0)
    assert sorted(one["machine"] for one in deployed["services"][0]["instances"]) == [*NAMES]
    for name in NAMES:
        assert digests(travel.on(name), DEPLOYED) == dict.fromkeys(NAMES, digests(travel, DEPLOYED)["m1"])
        assert travel.on(name).get("/version", host=HOST) == "2"
        assert travel.on(name).docker("ps", "-q", "--filter", f"ancestor={DEPLOYED}").split(), "it runs here"


def test_an_image_is_brought_to_those_that_are_named_then_to_the_rest_and_then_to_nobody(travel: Cluster) -> None:
    pushed = ("image", "push", SAID, "--to", "m3")
    assert brought(travel.on("m2").done(*pushed)) == (["m3"], []), "m2 asks, m1 gives, m3 gets it"
    assert [*digests(travel, SAID)] == ["m1", "m3"]
    assert brought(travel.done(*pushed, "--to", "m2", "--to", "m1")) == (["m2"], ["m1", "m3"])
    travel.on("m3").docker("rmi", SAID)
    spread = travel.done("image", "distribute", SAID)
    assert brought(spread) == (["m3"], ["m1", "m2"])
    assert digests(travel.on("m2"), SAID) == dict.fromkeys(NAMES, spread["digest"])
    assert brought(travel.on("m3").done("image", "distribute", SAID)) == ([], [*NAMES])
    ran = [travel.on(name).docker("run", "--rm", SAID, "printenv", "VERSION") for name in NAMES]
    assert ran == ["3"] * len(NAMES)


def test_what_nobody_has_or_nobody_is_called_is_refused(travel: Cluster) -> None:
    refused = travel.on("m2").ctl("image", "distribute", "ployz-demo/web:9")
    assert (refused.code, refused.error["code"]) == (3, "image.missing")
    refused = travel.ctl("image", "push", SAID, "--to", "m9")
    assert (refused.code, refused.error["code"]) == (3, "machine.missing")


def brought(told: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The machines that lacked it, and those that had it."""
    return told["brought"], told["there"]
