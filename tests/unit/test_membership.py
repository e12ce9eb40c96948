"""What a machine is survives its daemon, whole."""

from pathlib import Path

import pytest

from daemon import membership
from daemon.wire import Problem

AT = "2026-01-01T00:00:00Z"


def test_a_machine_alone_is_a_cluster_of_one_that_keeps_its_records(tmp_path: Path) -> None:
    one = membership.alone("m1", AT, "0.1.0")
    assert (one.here.subnet, one.here.overlay_ip, one.keeps_records) == ("10.210.1.0/24", "10.210.1.1", True)
    assert one.cluster.id != membership.alone("m1", AT, "0.1.0").cluster.id
    membership.save(tmp_path / "m.json", one)
    assert membership.load(tmp_path / "m.json") == one
    assert (tmp_path / "m.json").stat().st_mode & 0o777 == 0o600


def test_a_file_that_makes_no_sense_is_never_taken_for_none(tmp_path: Path) -> None:
    assert membership.load(tmp_path / "m.json") is None
    (tmp_path / "m.json").write_text("{}")
    with pytest.raises(Problem) as caught:
        membership.load(tmp_path / "m.json")
    assert caught.value.code == "membership.unreadable"
