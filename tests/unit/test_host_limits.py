"""Where an instance on the host is limited, and by which words: decided from what is mounted, without any kernel."""

from pathlib import Path

import pytest

from runtime.host.group import hierarchies
from runtime.host.limits import beside, limits
from runtime.instance import Bounds, SettingIgnored

BOUNDS = Bounds(cpus=0.25, memory=64 * 2**20 + 1)


def mounted(root: Path, *kinds: str) -> str:
    """A mountinfo of hierarchies below `root`, by their controllers; `2` is v2."""
    rows = {"2": "cgroup2 cgroup rw"} | {kind: f"cgroup cgroup rw,{kind}" for kind in kinds if kind != "2"}
    return "\n".join(f"1 0 0:1 / {root}/{kind.partition('=')[2] or kind} rw - {rows[kind]}" for kind in kinds)


def test_v2_limits_a_group_of_the_commands_below_the_instances_own(tmp_path: Path) -> None:
    root = tmp_path / "2"
    group = root / "ployz.slice/ployz-db.service"
    group.mkdir(parents=True)
    (root / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    found = limits(group, BOUNDS, hierarchies(mounted(tmp_path, "2")))
    assert (found.command, found.supervisor) == ((group / "command",), group / "supervisor")
    assert found.kills == group / "command/memory.events"
    assert found.hands_on == (root, root / "ployz.slice", group), "outermost first, and none into what has processes"
    found.apply()
    assert (group / "cgroup.subtree_control").read_text() == "+memory +cpu"
    assert (group / "command/memory.max").read_text() == str(64 * 2**20)
    assert (group / "command/cpu.max").read_text() == "25000 100000"
    assert not (group.parent / "command").exists()


def test_v1_limits_groups_of_the_same_name_in_other_hierarchies(tmp_path: Path) -> None:
    found = hierarchies(mounted(tmp_path, "cpu", "memory", "name=systemd", "2"))
    group = tmp_path / "2/ployz-1/db"
    (tmp_path / "2").mkdir()
    (tmp_path / "2/cgroup.controllers").write_text("hugetlb\n")
    told = limits(group, BOUNDS, found)
    assert told.command == (group, tmp_path / "memory/ployz-1/db", tmp_path / "cpu/ployz-1/db")
    assert (told.supervisor, told.hands_on) == (None, ())
    assert list(told.command[1:]) == beside(group, found), "what is removed is what was made"
    told.apply()
    assert (tmp_path / "cpu/ployz-1/db/cpu.cfs_quota_us").read_text() == "25000"


def test_who_asks_for_no_limit_needs_no_controller(tmp_path: Path) -> None:
    group = tmp_path / "2/ployz-1/db"
    there = hierarchies(mounted(tmp_path, "2"))
    assert limits(group, Bounds(), there).command == (group,)
    with pytest.raises(SettingIgnored, match="leave resources out"):
        limits(group, BOUNDS, there)


def test_a_kernel_that_takes_another_limit_is_told(tmp_path: Path) -> None:
    (tmp_path / "2").mkdir()
    (tmp_path / "2/cgroup.controllers").write_text("cpu memory")
    found = limits(tmp_path / "2/db", Bounds(cpus=1), hierarchies(mounted(tmp_path, "2")))
    (tmp_path / "2/db/command").mkdir(parents=True)
    (tmp_path / "2/db/command/cpu.max").symlink_to("/dev/null")
    with pytest.raises(SettingIgnored, match="not 100000 100000"):
        found.apply()
