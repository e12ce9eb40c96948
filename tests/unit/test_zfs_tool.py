"""What the words of `zfs` mean: existence has three values, marks are one's own, and mounts are this namespace's."""

import asyncio
import shlex
from pathlib import Path

import pytest

from dataplane.dataset import NoRoom, PoolUnavailable, ZfsProblem
from dataplane.zfs import is_named_by
from dataplane.zfs_abilities import Abilities, ask_abilities
from dataplane.zfs_tool import Busy, ZfsTool, meaning, mounts

ROWS = """tank/a\ttype\tfilesystem\t-
tank/a\tguid\t18446744073709551615\t-
tank/a\torigin\ttank/b@s\t-
tank/a\tused\t5000\t-
tank/a\tusedbydataset\t4096\t-
tank/a\treferenced\t4096\t-
tank/a\tcreation\t1700000000\t-
tank/a\tcompressratio\t2.50x\t-
tank/a\tployz:operation\top-1\tinherited from tank
tank/a\tployz:namespace\t-\t-
tank/a\tployz:volume\ta\tb\tlocal
tank/a\tployz:epoch\t2\treceived
tank/a\tployz:state\tcurrent\tlocal
tank/a\tployz:name\t-\t-
"""


def shim(folder: Path, answer: str = "", *, error: str = "", code: int = 0) -> str:
    """A `zfs` that answers every question so."""
    script = f"printf %s {shlex.quote(answer)}; printf '%s\\n' {shlex.quote(error)} >&2; exit {code}"
    program = folder / "zfs"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_a_dataset_is_read_with_its_own_marks(tmp_path: Path) -> None:
    found = asyncio.run(ZfsTool(shim(tmp_path, ROWS)).read("tank/a"))["tank/a"]
    assert found.marks == {"volume": "a\tb", "state": "current", "epoch": "2"}
    assert (found.guid, found.origin, found.alone, found.path) == ("18446744073709551615", "tank/b@s", 4096, None)
    assert found.ratio == 2.5
    exact = ROWS.replace("2.50x", "2.50")
    assert asyncio.run(ZfsTool(shim(tmp_path, exact)).read("tank/a"))["tank/a"].ratio == 2.5
    with pytest.raises(ZfsProblem, match="compressratio"):
        asyncio.run(ZfsTool(shim(tmp_path, ROWS.replace("2.50x", "much"))).read("tank/a"))


def test_a_mark_that_was_left_out_is_a_problem(tmp_path: Path) -> None:
    rows = "".join(line for line in ROWS.splitlines(keepends=True) if "epoch" not in line)
    with pytest.raises(ZfsProblem, match="left out its ployz:epoch"):
        asyncio.run(ZfsTool(shim(tmp_path, rows)).read("tank/a"))


def test_absent_is_what_zfs_says_does_not_exist(tmp_path: Path) -> None:
    program = shim(tmp_path, error="cannot open 'tank/a': dataset does not exist", code=1)
    assert asyncio.run(ZfsTool(program).read("tank/a")) == {}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("", ZfsProblem),
        ("internal error: out of memory", ZfsProblem),
        ("cannot open 'tank/b': dataset does not exist", ZfsProblem),
        ("cannot open 'tank/a': permission denied", ZfsProblem),
        ("cannot open 'tank/a': dataset does not exist\ncannot open 'tank/a': I/O error", ZfsProblem),
        ("cannot open 'tank/a': pool I/O is currently suspended", PoolUnavailable),
        ("Please make sure that the zfs-fuse daemon is running.", PoolUnavailable),
        ("The ZFS modules are not loaded.\nTry running '/sbin/modprobe zfs' as root to load them.", PoolUnavailable),
    ],
)
def test_any_other_error_is_unknown(tmp_path: Path, error: str, kind: type[ZfsProblem]) -> None:
    with pytest.raises(ZfsProblem) as raised:
        asyncio.run(ZfsTool(shim(tmp_path, error=error, code=1)).read("tank/a"))
    assert type(raised.value) is kind


@pytest.mark.parametrize("lines", range(len(ROWS.splitlines())))
def test_an_answer_that_ends_early_is_a_problem(tmp_path: Path, lines: int) -> None:
    rows = "".join(ROWS.splitlines(keepends=True)[:lines])
    with pytest.raises(ZfsProblem):
        asyncio.run(ZfsTool(shim(tmp_path, rows)).read("tank/a"))


@pytest.mark.parametrize("rows", [ROWS.replace("5000", "4.88K").replace("4096", "4K"), "tank/a\ttype\n", "tank/a\n"])
def test_an_answer_for_eyes_is_a_problem(tmp_path: Path, rows: str) -> None:
    with pytest.raises(ZfsProblem):
        asyncio.run(ZfsTool(shim(tmp_path, rows)).read("tank/a"))


@pytest.mark.parametrize(
    ("objection", "kind"),
    [
        ("cannot destroy 'tank/a': dataset is busy", Busy),
        ("umount: /x: target is busy.\ncannot unmount '/x': umount failed", Busy),
        ("cannot create 'tank/a': out of space", NoRoom),
        ("cannot create snapshot 'tank/a@s': out of space", NoRoom),
        ("cannot destroy 'tank/a': filesystem has children", ZfsProblem),
    ],
)
def test_objections_have_kinds(objection: str, kind: type[ZfsProblem]) -> None:
    assert type(meaning(objection)) is kind


def version(folder: Path, script: str) -> str:
    program = folder / "zfs"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


OPENZFS = "echo zfs-2.3.9-1; echo zfs-kmod-2.3.9-1"


def abilities(folder: Path, zfs: str, zpool: str) -> Abilities:
    """What two programs are able to do that answer so."""
    (folder / "pools").mkdir(exist_ok=True)
    return asyncio.run(ask_abilities("tank", version(folder, zfs), version(folder / "pools", zpool)))


@pytest.mark.parametrize(("state", "resumes"), [("active", True), ("enabled", True), ("disabled", False), ("-", False)])
def test_abilities_are_what_the_programs_answer(tmp_path: Path, state: str, resumes: bool) -> None:
    asked = 'test "$*" = "get -H -o value feature@extensible_dataset tank" || exit 3'
    found = abilities(tmp_path, OPENZFS, f"{asked}; echo {state}")
    assert found == Abilities(several_snapshots=True, several_marks=True, resumes=resumes)


def test_zfs_fuse_is_not_asked_what_its_pool_has(tmp_path: Path) -> None:
    old = "echo \"unrecognized command 'version'\" >&2; exit 2"
    assert abilities(tmp_path, old, "exit 3") == Abilities(several_snapshots=False, several_marks=False, resumes=False)


@pytest.mark.parametrize("script", ["exit 0", "exit 1", "exit 2", "echo no >&2; exit 2"])
def test_unclear_abilities_are_a_problem(tmp_path: Path, script: str) -> None:
    with pytest.raises(PoolUnavailable):
        abilities(tmp_path, script, "echo active")
    with pytest.raises(PoolUnavailable):
        abilities(tmp_path, OPENZFS, script)


@pytest.mark.parametrize(("told", "left"), [("1-c0ffee-e0-789c", "1-c0ffee-e0-789c"), ("-", None)])
def test_what_is_left_is_what_its_token_says(tmp_path: Path, told: str, left: str | None) -> None:
    program = shim(tmp_path, f"tank/a\treceive_resume_token\t{told}\t-\n")
    assert asyncio.run(ZfsTool(program).left("tank/a")) == left


def test_nothing_is_left_of_what_is_not_there(tmp_path: Path) -> None:
    program = shim(tmp_path, error="cannot open 'tank/a': dataset does not exist", code=1)
    assert asyncio.run(ZfsTool(program).left("tank/a")) is None


def test_mounts_are_whole_filesystems_of_zfs(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw,relatime - ext4 /dev/root rw\n"
        "67 22 0:43 / /tmp/a\\040b rw,relatime shared:1 master:2 - fuse.zfs tank/a rw,user_id=0\n"
        "68 22 0:44 / /tank/b rw - zfs tank/b rw,xattr\n"
        "69 22 0:44 /part /mnt rw - zfs tank/b rw,xattr\n"
        "70 22 0:45 / /zfs-kstat rw - fuse kstat rw\n"
    )
    assert mounts(table) == [("tank/a", "/tmp/a b"), ("tank/b", "/tank/b")]


@pytest.mark.parametrize("name", ["tank/a/op-1", "tank/a@op-1", "tank/op-9@deploy-3-op-1", "tank/a/op-1.old"])
def test_a_name_bears_an_operation(name: str) -> None:
    assert is_named_by(name, "op-1")


@pytest.mark.parametrize("name", ["tank/a/op-12", "tank/a/xop-1", "tank/op-1/a", "tank/op-1@a", "op-1/a"])
def test_a_name_does_not_bear_what_only_looks_like_it(name: str) -> None:
    assert not is_named_by(name, "op-1")
