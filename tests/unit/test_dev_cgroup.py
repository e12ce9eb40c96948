"""Control groups, by the text of mountinfo and on a folder that looks like a hierarchy."""

import os
from pathlib import Path

import pytest

from daemon.dev.cgroup import Group, Hierarchy, hierarchies

V1 = "73 72 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct"
NAMED = r"81 72 0:37 / /sys/fs/cgroup/a\040b rw - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd"
V2 = "82 72 0:38 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate"
OTHER = "22 1 8:1 / / rw,relatime - ext4 /dev/root rw"


def test_each_hierarchy_is_found_with_what_mounts_it_again() -> None:
    found = hierarchies("\n".join((OTHER, V1, NAMED, V2)))
    assert found == (
        Hierarchy(Path("/sys/fs/cgroup/cpu,cpuacct"), 1, ("cpu", "cpuacct")),
        Hierarchy(Path("/sys/fs/cgroup/a b"), 1, ("name=systemd",)),
        Hierarchy(Path("/sys/fs/cgroup"), 2),
    )
    assert found[0].mounts[:5] == ("mount", "-t", "cgroup", "-o", "cpu,cpuacct")
    assert found[2].mounts == ("mount", "-t", "cgroup2", "cgroup", "/sys/fs/cgroup")


def test_of_two_at_one_place_the_later_counts() -> None:
    assert hierarchies(V1 + "\n" + V1.replace("cpu,cpuacct rw", "cpu,cpuacct ro")) == hierarchies(V1)


@pytest.fixture
def group(tmp_path: Path) -> Group:
    """One that looks like v1 with cpuset, and v2."""
    for share in ("cpuset.cpus", "cpuset.mems"):
        (tmp_path / "one").mkdir(exist_ok=True)
        (tmp_path / "one" / share).write_text("0-1")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "ours").mkdir()
    (tmp_path / "two" / "ours" / "cgroup.controllers").write_text("")
    return Group("ours", (Hierarchy(tmp_path / "one", 1, ("cpuset",)), Hierarchy(tmp_path / "two", 2)))


def test_a_new_group_has_the_cpus_of_its_parent(group: Group) -> None:
    group.make()
    assert (group.folders()[0] / "cpuset.cpus").read_text() == "0-1"


def test_only_the_founder_of_the_namespace_joins_the_group_itself(group: Group) -> None:
    one, two = group.folders()
    assert group.doors(founding=True) == [one / "cgroup.procs", two / "cgroup.procs"]
    assert group.doors() == [one / "cgroup.procs", two / "init" / "cgroup.procs"]


def test_members_of_all_below_are_found_but_not_those_of_another_namespace(group: Group) -> None:
    group.make()
    below = group.folders()[0] / "docker"
    below.mkdir()
    (below / "cgroup.procs").write_text("0\n17\n")
    (group.folders()[1] / "init" / "cgroup.procs").write_text("17\n18\n")
    assert group.members() == {17, 18}
    assert group.children() == {"docker", "init"}


def test_a_group_that_is_not_there_has_nothing_and_removing_it_is_fine(tmp_path: Path) -> None:
    absent = Group("ours", (Hierarchy(tmp_path, 1),))
    absent.remove()
    assert (absent.exists(), absent.members(), absent.children()) == (False, set(), set())
    assert os.listdir(tmp_path) == []
