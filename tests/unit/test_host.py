"""What is decided about processes of the host without touching any: who starts them, what they see, what they wrote."""

import asyncio
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.host import mounts
from runtime.host.becoming import identity
from runtime.host.group import hierarchy
from runtime.host.inside import Log
from runtime.host.logs import Reader, lines
from runtime.host.network import Pair
from runtime.host.place import Place, Recorded, State, sweep
from runtime.host.starting import BEGUN
from runtime.host.systemd import is_init, unit_command, unit_group
from runtime.instance import EngineProblem, Mount, Specification

HOUSE = Path(__file__).parents[2]
DB = Specification("shop-db-1", "host", "10.210.1.7", {"ployz.service": "db"}, command=("db",), runtime="host")


def test_systemd_is_asked_for_a_unit_that_only_starts_and_holds_the_supervisor() -> None:
    words = unit_command("shop-db-1", ("supervisor", "/folder", "/door"), 40.0)
    start, _, command = " ".join(words).partition(" -- ")
    assert start.startswith("systemd-run --quiet --collect --no-ask-password --unit=ployz-shop-db-1.service")
    properties = {words[at + 1] for at, word in enumerate(words) if word == "--property"}
    assert {"Slice=ployz.slice", "Delegate=yes", "Restart=no", "TimeoutStopSec=40", "KillMode=mixed"} <= properties
    assert command == "unshare --net --mount --ipc --propagation private -- supervisor /folder /door"


def test_where_systemd_puts_that_unit(tmp_path: Path) -> None:
    group = unit_group(Path("/sys/fs/cgroup"), "shop-db-1")
    assert group == Path("/sys/fs/cgroup/ployz.slice/ployz-shop-db-1.service")
    assert not is_init(tmp_path)
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert is_init(tmp_path)


V2 = r"31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate"
HYBRID = r"""
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/uni\040fied rw,relatime - cgroup2 cgroup2 rw
""".strip()


@pytest.mark.parametrize(
    ("mountinfo", "path"),
    [
        (V2, "/sys/fs/cgroup"),
        (HYBRID, "/sys/fs/cgroup/uni fied"),
        ("\n".join(HYBRID.splitlines()[:2]), "/sys/fs/cgroup/systemd"),
        (HYBRID.splitlines()[0], "/sys/fs/cgroup/pids"),
    ],
)
def test_the_hierarchy_that_groups_are_made_in(mountinfo: str, path: str) -> None:
    assert hierarchy(mountinfo) == Path(path)


def test_without_control_groups_nothing_can_be_found_again() -> None:
    with pytest.raises(EngineProblem, match="cgroup2"):
        hierarchy("23 1 8:1 / / rw - ext4 /dev/vda rw")


def test_names_are_asked_of_our_name_server_and_of_nobody_else() -> None:
    switch = "passwd: files\nhosts:  files mymachines resolve [!UNAVAIL=return] dns\nnetworks: files\n"
    wanted = Specification("x", "host", None, {}, search=("shop.ployz.internal", "ployz.internal"))
    files = mounts.files(wanted, "10.210.1.1", switch)
    assert files["resolv.conf"] == (
        b"nameserver 10.210.1.1\nsearch shop.ployz.internal ployz.internal\noptions ndots:2\n"
    )
    assert files["nsswitch.conf"] == b"passwd: files\nhosts: files dns\nnetworks: files\n"
    assert mounts.files(wanted, None, "") == {}


def test_volumes_are_mounted_outermost_first(tmp_path: Path) -> None:
    both = (Mount("/pool/logs", "/srv/data/logs"), Mount("/pool/data", "/srv/data"))
    words = list(mounts.commands(Specification("x", "host", None, {}, mounts=both, shm=1000), tmp_path))
    assert words[:2] == [
        ("mount", "--bind", "/pool/data", "/srv/data"),
        ("mount", "--bind", "/pool/logs", "/srv/data/logs"),
    ]
    assert "size=1000" in words[-1][4]


def test_volumes_of_others_are_let_go_and_our_folders_are_covered(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "volumes").mkdir(parents=True)
    mountinfo = "\n".join(
        f"1 0 0:1 / {path} rw - zfs tank rw"
        for path in ("/", f"{data}/volumes/shop/a", f"{data}/volumes/shop/b", "/srv", f"{tmp_path}/database")
    )
    words = list(mounts.hiding(mountinfo, ["/srv"], (data, data / "volumes")))
    assert words[0] == ("umount", "--lazy", *(f"{data}/volumes/shop/{name}" for name in "ba"))
    assert [each[-1] for each in words[1:]] == [str(data)], "what lies in a covered folder is covered with it"


def test_an_address_keeps_its_hardware_address() -> None:
    assert Pair.hardware_address("10.210.1.7") == "02:42:0a:d2:01:07"


def test_who_a_process_is() -> None:
    assert identity(None)[:2] == (0, 0)
    assert identity("4242:4343")[:3] == (4242, 4343, [4343])
    assert identity("root")[3] == "/root"
    for unknown in ("nobody-knows-her", "0:nobody-knows-them"):
        with pytest.raises(LookupError, match="nobody-knows"):
            identity(unknown)


def test_an_instance_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    place, recorded = Place(tmp_path / "shop-db-1"), Recorded(DB, "op-1", "now")
    assert place.make(recorded, {"run.json": b"{}"})
    assert place.recorded() == recorded
    assert not place.make(Recorded(DB, "op-2", "later"), {}), "it is taken"
    assert place.recorded() == recorded
    place.remove()
    place.remove()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".shop-web-1.new" / "half").mkdir(parents=True)
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_is_no_reason_to_call_it_absent(tmp_path: Path) -> None:
    place = Place(tmp_path / "shop-db-1")
    place.make(Recorded(DB, "op-1", "now"), {})
    (place.folder / "instance.json").write_text('{"specification": ')
    with pytest.raises(EngineProblem, match="shop-db-1"):
        place.recorded()
    (place.folder / "state.json").write_text("")
    assert place.state() == State("stopped"), "after a loss of power nothing of it runs"


async def told(folder: Path, **asked: float | int) -> list[tuple[str, bytes]]:
    since, tail = asked.get("since"), asked.get("tail")
    found = lines(folder, goes_on=None, since=since, tail=None if tail is None else int(tail))
    return [(stream, said) async for stream, _, said in found]


def test_a_log_is_read_over_its_turning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log, reader = Log(60_000), Reader(tmp_path)
    log.feed("stdout", b"first\n" + b"x" * 40_000)
    log.feed("stderr", b"between\n")
    log.feed("stdout", b"\nlast")
    assert [said for _, _, said in reader.read()] == [b"first", b"between", b"x" * 40_000]
    log.feed("stdout", b"\n" + b"y" * 30_000 + b"\n")
    assert [said for _, _, said in reader.read()] == [b"last", b"y" * 30_000]
    log.feed("stdout", b"rest")
    log.end()
    assert asyncio.run(told(tmp_path, tail=2)) == [("stdout", b"y" * 30_000), ("stdout", b"rest")]
    assert asyncio.run(told(tmp_path, since=4_000_000_000.0)) == []
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1"]


WAITS = """
import sys
from pathlib import Path
from runtime.host import inside
inside.PATIENCE = 0.0
sys.exit(0 if inside.Supervisor({"log": 1 << 20, "doors": []}, Path("door")).prepared() else 7)
"""


@pytest.mark.parametrize(("word", "code"), [(b"g", 0), (b"", 7)], ids=["it is prepared", "its daemon is gone"])
def test_a_supervisor_that_is_being_prepared_waits_for_as_long_as_its_daemon_lives(
    word: bytes, code: int, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "go")
    line = os.open(tmp_path / "go", os.O_RDWR | os.O_CLOEXEC)
    os.write(line, BEGUN)
    words = [sys.executable, "-c", WAITS]
    with subprocess.Popen(words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(HOUSE)}) as waiting:
        while select.select([line], [], [], 0)[0]:
            time.sleep(0.01)  # until it has heard the first word
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.3)
        os.write(line, word)
        os.close(line)
        assert waiting.wait(20) == code
