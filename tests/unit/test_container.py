"""What an engine made of what it was asked for."""

from dataclasses import replace
from typing import Any

import pytest

from runtime.container import ignored, inspected
from runtime.instance import Bounds, Specification

BOUNDS = Bounds(
    ulimits={"nofile": (1, 2)},
    devices=("/dev/fuse",),
    cap_add=("NET_ADMIN",),
    read_only=True,
    log=2**20,
    cpus=0.5,
    memory=2**25,
)
ASKED = Specification("i", "image", None, {}, shm=2**20, bounds=BOUNDS)
TOLD: dict[str, Any] = {
    "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
    "Devices": [{"PathOnHost": "/dev/fuse"}],
    "CapAdd": ["CAP_NET_ADMIN"],
    "ReadonlyRootfs": True,
    "NanoCpus": 500_000_000,
    "Memory": 2**25,
    "ShmSize": 2**20,
    "LogConfig": {"Config": {"max-size": "524288", "max-file": "2"}},
}


def lacks(specification: Specification, **told: Any) -> list[str]:
    state = {"Status": "created", "StartedAt": "", "FinishedAt": "", "ExitCode": 0, "Pid": 0, "OOMKilled": False}
    answer = {
        "Id": "1", "Name": "/i", "Created": "", "Image": "", "State": state, "Config": {"Image": ""},
        "NetworkSettings": {"Networks": {}}, "HostConfig": {**TOLD, **told},
    }  # fmt: skip
    return list(ignored(inspected(answer), specification))


def test_an_engine_that_did_as_asked_lacks_nothing() -> None:
    assert lacks(ASKED) == []
    assert lacks(replace(ASKED, shm=None), ShmSize=2**26) == [], "the engine's own size is fine where none is wanted"


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"Memory": 0}, "resources.memory is 0, not 33554432"),
        ({"NanoCpus": 0}, "resources.cpus is 0, not 500000000"),
        ({"Ulimits": None}, "ulimits is {}, not {'nofile': (1, 2)}"),
        ({"Devices": []}, "devices is [], not ['/dev/fuse']"),
        ({"CapAdd": None}, "cap_add is [], not ['NET_ADMIN']"),
        ({"ReadonlyRootfs": False}, "read_only is False, not True"),
        ({"ShmSize": 2**26}, "shm is 67108864, not 1048576"),
        ({"LogConfig": {"Config": {}}}, "log.max is None, not 524288"),
    ],
    ids=lambda told: str(*told) if isinstance(told, dict) else "",
)
def test_what_it_ignored_is_named(told: dict[str, Any], says: str) -> None:
    assert lacks(ASKED, **told) == [says]


def test_what_nobody_asked_for_is_named_too() -> None:
    assert lacks(replace(ASKED, bounds=replace(BOUNDS, cap_add=()))) == ["cap_add is ['NET_ADMIN'], not []"]
