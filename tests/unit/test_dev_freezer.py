"""Holding a control group still, on folders that look like hierarchies."""

import asyncio
import shutil
from pathlib import Path

import pytest

from daemon.dev import freezer as freezers
from daemon.dev.cgroup import Group, Hierarchy
from daemon.dev.freezer import Freezer


def _freezer(root: Path, *hierarchies: Hierarchy) -> Freezer:
    for each in hierarchies:
        (each.path / "ours").mkdir(parents=True)
        (each.path / "ours" / "cgroup.freeze").write_text("0\n")
        (each.path / "ours" / "cgroup.events").write_text("populated 1\nfrozen 0\n")
        (each.path / "ours" / "freezer.state").write_text("THAWED\n")
    found = Freezer.of(Group("ours", hierarchies))
    assert found
    return found


def test_of_both_versions_the_second_is_used(tmp_path: Path) -> None:
    one, two = Hierarchy(tmp_path / "one", 1, ("freezer",)), Hierarchy(tmp_path / "two", 2)
    assert _freezer(tmp_path, one, two).switch == tmp_path / "two" / "ours" / "cgroup.freeze"


def test_where_no_hierarchy_can_there_is_none(tmp_path: Path) -> None:
    assert Freezer.of(Group("ours", (Hierarchy(tmp_path, 1, ("cpu",)),))) is None


def test_the_first_is_held_and_released_by_its_words(tmp_path: Path) -> None:
    freezer = _freezer(tmp_path, Hierarchy(tmp_path, 1, ("freezer",)))
    assert not freezer.holds()
    assert asyncio.run(freezer.hold())
    assert (freezer.switch.read_text(), freezer.holds()) == ("FROZEN", True)
    freezer.release()
    assert (freezer.switch.read_text(), freezer.holds()) == ("THAWED", False)


def test_what_does_not_come_to_rest_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freezers, "PATIENCE", 0.02)
    freezer = _freezer(tmp_path, Hierarchy(tmp_path, 2))
    assert not asyncio.run(freezer.hold())
    assert not freezer.holds()


def test_a_group_that_is_gone_is_not_held(tmp_path: Path) -> None:
    freezer = _freezer(tmp_path, Hierarchy(tmp_path, 2))
    shutil.rmtree(tmp_path / "ours")
    assert not freezer.holds()
    freezer.release()
    assert not (tmp_path / "ours").exists()
