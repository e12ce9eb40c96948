"""Volumes in the user's words: a database carried away while it is written to, and nothing left over of what is cut."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.machine.cluster import DEMO, Cluster, wait_until
from tests.machine.lived import folder
from tests.machine.manifests import demo


class Writer:
    """Writes rows until it is told to stop; knows those that were acknowledged."""

    def __init__(self, cluster: Cluster) -> None:
        self.acknowledged: list[int] = []
        self._cluster, self._over = cluster, threading.Event()
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        while not self._over.is_set():
            self.acknowledged.append(self._cluster.write_row())

    def __enter__(self) -> "Writer":
        self._thread.start()
        wait_until(lambda: len(self.acknowledged) > 3, "rows are written")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def named(namespace: str) -> str:
    """The demo's shop under another name, so at another address."""
    return demo(1).replace('"shop"', f'"{namespace}"', 1)


@pytest.mark.parametrize("form", ["zfs", "tar"])
def test_a_database_is_carried_away_while_it_is_written_to(shop: Cluster, tmp_path: Path, form: str) -> None:
    before, file, trial = shop.datasets(), tmp_path / "data", f"trial-{form}"
    words = ["--tar"] if form == "tar" else []
    rows = int(shop.get("/rows"))
    with Writer(shop) as writer:
        known = list(writer.acknowledged)
        result = shop.done("volume", "export", "shop/data", "-o", str(file), *words)
    assert result["file"] == str(file)
    assert not Path(f"{file}.part").exists()
    assert shop.datasets() == before
    shop.done("volume", "import", str(file), f"{trial}/data")
    [row] = shop.done("volume", "ls", trial)["volumes"]
    shop.deployed(named(trial))
    there = int(shop.get("/rows", host=f"{trial}.localhost"))
    assert there >= rows + len(known), "an acknowledged transaction is not there"
    again = shop.ctl("volume", "import", str(file), f"{trial}/data")
    assert (again.code, again.error["code"]) == (3, "volume.exists")
    assert shop.done("volume", "ls", trial)["volumes"][0]["generation"] != row["generation"]
    shop.deployed(f'namespace = "{trial}"')


def test_stdout_and_stdin_and_what_is_refused(shop: Cluster, tmp_path: Path) -> None:
    before = shop.datasets()
    process = shop.begin("volume", "export", "shop/data", "-o", "-")
    data, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert b"was exported" in said
    cut = shop.ctl("volume", "import", "-", "other/data", given=data[: len(data) // 2])
    assert (cut.code, cut.error["code"]) == (4, "stream.broken")
    assert shop.datasets() == before
    assert shop.ctl("volume", "export", "shop/nothing", "-o", str(tmp_path / "x")).error["code"] == "volume.missing"
    assert list(tmp_path.iterdir()) == []
    assert shop.ctl("volume", "resize", "shop/data", "1MiB").error["code"] == "volume.too_small"
    assert shop.ctl("volume", "purge", "shop/data@none", "--yes").error["code"] == "snapshot.missing"
    assert shop.ctl("volume", "import", str(tmp_path / "none"), "other/data").error["code"] == "import.unreadable"
    full = tmp_path / "full"
    full.touch()
    os.truncate(full, 1 << 40)
    assert shop.ctl("volume", "import", str(full), "other/data").error["code"] == "pool.full"
    assert shop.datasets() == before


def test_a_folder_is_imported_as_it_is(shop: Cluster, tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    row = tmp_path / "in" / "sub" / "row"
    row.write_text("what was there already")
    row.chmod(0o640)
    os.chown(row, 999, 998)
    shop.done("volume", "import", str(tmp_path / "in"), "lab/data")
    found = folder(shop, "lab") / "sub" / "row"
    about = found.stat()
    assert (found.read_text(), about.st_uid, about.st_gid, about.st_mode & 0o7777) == (row.read_text(), 999, 998, 0o640)
    shop.done("namespace", "rm", "lab", "--purge", "--yes")


def test_an_export_that_cannot_be_kept_is_none(shop: Cluster, tmp_path: Path) -> None:
    before, file, folder = shop.datasets(), tmp_path / "data.zst", tmp_path / "folder"
    words = (sys.executable, "-P", "-m", "ctl", "--json", "volume", "export", "shop/data", "-o", str(file))
    limited = ("sh", "-c", 'ulimit -f 1; exec "$@"', "sh", *words)
    ran = subprocess.run(limited, env=shop.environment, cwd=DEMO, capture_output=True, timeout=60)
    error = json.loads(ran.stdout)["error"]
    assert (ran.returncode, error["code"]) == (4, "stream.broken")
    assert "File too large" in error["why"]
    with shop.begin("--json", "volume", "export", "shop/data", "-o", str(folder)) as exporting:
        wait_until(Path(f"{folder}.part").exists, "it is written")
        folder.mkdir()
        out, _ = exporting.communicate(timeout=60)
    assert (exporting.returncode, json.loads(out)["error"]["code"]) == (1, "export.unwritten")
    assert list(tmp_path.iterdir()) == [folder]
    refused = shop.ctl("volume", "export", "shop/data", "-o", str(folder))
    assert (refused.code, refused.error["code"]) == (3, "export.unwritable")
    wait_until(lambda: shop.datasets() == before, "nothing of it is left")


def test_a_named_snapshot_stays_until_it_is_purged(shop: Cluster) -> None:
    shop.done("volume", "snapshot", "shop/data", "before")
    assert shop.ctl("volume", "snapshot", "shop/data", "before").error["code"] == "snapshot.exists"
    shop.deployed(demo(2))
    [named] = [s for s in shop.done("volume", "snapshots", "shop/data")["snapshots"] if s["name"] == "before"]
    assert named["needed"] == ["the name before"]
    assert shop.ctl("volume", "purge", "shop/data@before").error["code"] == "question.unanswered"
    shop.done("volume", "purge", "shop/data@before", "--yes")
    assert named["guid"] not in json.dumps(shop.done("volume", "snapshots", "shop/data"))


def test_a_volume_that_is_pruned_is_kept_for_who_rolls_back(shop: Cluster) -> None:
    rows, words = shop.rows(), ("volume", "ls", "shop", "--kept")
    before = shop.done(*words)["volumes"]
    pruned = shop.deployed('namespace = "shop"\n', "--prune-volumes")
    assert [one["action"] for one in pruned["volumes"]] == ["remove"]
    assert shop.done("volume", "ls", "shop")["volumes"] == []
    [kept] = [row for row in shop.done(*words)["volumes"] if row not in before]
    point = f"deploy {pruned['previous']} of shop"
    assert point in kept["needed"]
    refused = shop.ctl("volume", "purge", "shop/data", "--kept", kept["generation"], "--yes")
    assert (refused.code, refused.error["code"]) == (3, "purge.needed")
    assert point in refused.error["why"]
    shop.done("rollback", "shop")
    assert shop.rows() == rows


@pytest.mark.parametrize("victim", ["ployzctl", "ployzd"])
@pytest.mark.parametrize("form", ["zfs", "tar"])
def test_an_export_that_is_killed_leaves_nothing(shop: Cluster, victim: str, form: str) -> None:
    """Nobody reads what it writes, so it stays under way for as long as it is left to itself."""
    before = shop.datasets()
    words = ["--tar"] if form == "tar" else []
    process = shop.begin("volume", "export", "shop/data", "-o", "-", *words)
    wait_until(lambda: any("zstd --quiet --stdout" in line for line in _commands()), "it is being sent")
    _kill(shop, process, victim)
    wait_until(lambda: shop.datasets() == before, "nothing of it is left")


@pytest.mark.parametrize("victim", ["ployzctl", "ployzd"])
def test_an_import_that_is_killed_leaves_nothing(shop: Cluster, victim: str, tmp_path: Path) -> None:
    shop.done("volume", "export", "shop/data", "-o", str(tmp_path / "file"))
    data, before = (tmp_path / "file").read_bytes(), shop.datasets()
    process = shop.begin("volume", "import", "-", "other/data")
    assert process.stdin
    process.stdin.write(data[: len(data) // 2])
    process.stdin.flush()
    wait_until(lambda: any("zfs receive" in line for line in _commands()), "it is being received")
    _kill(shop, process, victim)
    wait_until(lambda: shop.datasets() == before, "nothing of it is left")


def _kill(shop: Cluster, process: "subprocess.Popen[bytes]", victim: str) -> None:
    """`kill -9`, then bring up what is down, and wait until no operation is open."""
    if victim == "ployzd":
        shop.kill_daemon()
        shop.start_daemon()
    process.kill()
    process.communicate()
    shop.settled()


def _commands() -> list[str]:
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return lines
