"""Local clusters with a stand-in for the daemon: whatever is killed, and whenever, `dev down` leaves nothing."""

import asyncio
import json
import os
import signal
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daemon.dev.cluster import Site, locate
from daemon.dev.machine import Machine
from daemon.dev.processes import Seen, seen
from dataplane.process import started
from runtime.command import detach, finish, run
from tests.machine.standin import BROKEN

HOUSE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Host:
    """This host, with a folder of its own for clusters."""

    root: Path

    @property
    def machine(self) -> Machine:
        return locate("dev", Site(self.root, ())).machine("m1")

    def words(self, request: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "tests.machine.standin", "ask", json.dumps({"type": f"dev.{request}"}))

    def ask_within(self, *within: str) -> str:
        """The code of the failure of an `up` that is begun by these words."""
        env = (f"PYTHONPATH={HOUSE}", f"PLOYZ_DEV_DIR={self.root}")
        told = asyncio.run(finish("env", *env, *within, *self.words("up"), may_exit=(3,)))
        return str(json.loads(told.out.splitlines()[-1])["error"]["code"])

    def ask(self, request: str) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
        """The exit code of a command, its answer, and its events."""
        env = (f"PYTHONPATH={HOUSE}", f"PLOYZ_DEV_DIR={self.root}")
        told = asyncio.run(finish("env", *env, *self.words(request), may_exit=(0, 3, 4, 5)))
        print(told.out[-1000:])
        lines = [json.loads(line) for line in told.out.splitlines()]
        return told.code, lines[-1], lines[:-1]

    def url(self) -> str:
        [cluster] = self.ask("ls")[1]["result"]["clusters"]
        [machine] = cluster["machines"]
        assert machine["up"]
        return str(machine["url"])

    def left(self) -> list[str]:
        """What there is of clusters below this root: processes, mounts, control groups, files."""
        here = str(self.root)
        processes = [
            str(each) for each in seen() if each.pid != os.getpid() and any(here in word for word in each.argv)
        ]
        mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if here in line]
        groups = [str(folder) for folder in self.machine.group.folders() if folder.parent.exists()]
        return processes + mounts + groups + os.listdir(self.root)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    before = asyncio.run(run("ip", "-o", "link"))
    host = Host(tmp_path)
    yield host
    host.ask("down")
    assert host.left() == []
    assert asyncio.run(run("ip", "-o", "link")) == before


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bytes(answer.read())


def test_up_is_reached_from_the_host_and_a_second_up_changes_nothing(host: Host) -> None:
    code, answer, events = host.ask("up")
    assert (code, answer["kind"], answer["result"]["machines"][0]["up"]) == (0, "dev", True)
    assert [event["kind"] for event in events] == ["doing", "done"] * 3
    assert _get(host.url()) == b"here is the machine\n"
    before = host.machine.group.members()
    code, again, events = host.ask("up")
    assert (code, again["result"]) == (0, answer["result"])
    assert [event["step"] for event in events] == ["0 dev runs already"]
    assert host.machine.group.members() == before


def test_the_machine_has_a_network_mounts_processes_and_control_groups_of_its_own(host: Host) -> None:
    host.ask("up")
    holder = host.machine.holder()
    assert holder
    for kind in ("net", "mnt", "pid", "cgroup"):
        assert os.readlink(f"/proc/{holder.pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    for pid in host.machine.group.members():
        assert f"/{host.machine.group.name}" in Path(f"/proc/{pid}/cgroup").read_text()
    inside = ("nsenter", "--target", str(holder.pid), "--mount", "--net", "--cgroup", "--pid", "--")
    assert asyncio.run(run(*inside, "sysctl", "-n", "net.ipv4.ip_forward")) == "1\n"
    assert "127.0.0.1/8" in asyncio.run(run(*inside, "ip", "-4", "addr", "show", "lo", "up"))
    assert "/.." not in asyncio.run(run(*inside, "grep", "cgroup", "/proc/self/mountinfo"))


def test_down_leaves_nothing_and_there_is_nothing_to_remove_after_it(host: Host) -> None:
    host.ask("up")
    code, answer, _ = host.ask("down")
    assert (code, answer["kind"], answer["result"]["machines"][0]["up"]) == (0, "dev", False)
    assert host.left() == []
    code, answer, _ = host.ask("down")
    assert (code, answer["error"]["code"]) == (3, "dev.missing")


def _with_words(words: tuple[str, ...]) -> bool:
    return any(each.argv[at : at + len(words)] == words for each in seen() for at in range(len(each.argv)))


def _holder(machine: Machine) -> Seen | None:
    return next((each for each in seen() if each.argv == machine.holds), None)


MOMENTS: dict[str, Callable[[Machine], object]] = {
    "its folder is there": lambda machine: machine.folder.parent.exists(),
    "its control groups are there": lambda machine: machine.group.exists(),
    "its first process is on its way": lambda machine: _with_words(machine.holds),
    "its first process is there": _holder,
    "it is ready": lambda machine: machine.holder(),
    "the way in is on its way": lambda machine: _with_words(machine.relays),
    "its daemon is on its way": lambda machine: _with_words(machine.serves),
    "its daemon listens": lambda machine: machine.door.exists(),
}


def _cut_up(host: Host, moment: Callable[[Machine], object]) -> None:
    """Kill `dev up` with -9 as soon as the moment has come."""

    async def cut() -> None:
        environment = {"PYTHONPATH": str(HOUSE), "PLOYZ_DEV_DIR": str(host.root)}
        pid = await detach(*host.words("up"), log=Path("/dev/null"), environment=environment)
        machine = replace_program(host.machine)
        async with asyncio.timeout(20):
            while not moment(machine):
                await asyncio.sleep(0.001)
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(5):
            while started(pid):
                await asyncio.sleep(0.01)

    asyncio.run(cut())


def replace_program(machine: Machine) -> Machine:
    program = (sys.executable, "-P", "-m", "tests.machine.standin", "serve")
    return Machine(machine.folder, machine.group, program)


@pytest.mark.parametrize("moment", MOMENTS)
def test_down_finds_everything_of_an_up_that_was_killed_when(host: Host, moment: str) -> None:
    _cut_up(host, MOMENTS[moment])
    code, _, _ = host.ask("down")
    assert code == 0
    assert host.left() == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_up_finishes_an_up_that_was_killed_when(host: Host, moment: str) -> None:
    _cut_up(host, MOMENTS[moment])
    assert host.ask("up")[1]["ok"] is True
    assert _get(host.url()) == b"here is the machine\n"
    holders = [each for each in seen() if each.argv == host.machine.holds]
    assert len(holders) == 1


@pytest.mark.parametrize("victim", ["unshare", "tini", "flock", "sleep"])
def test_a_machine_whose_holder_was_killed_is_all_gone_and_starts_again_from_its_disk(host: Host, victim: str) -> None:
    host.ask("up")
    url = host.url()
    (host.machine.folder / "data").mkdir()
    (host.machine.folder / "data" / "kept").write_text("bytes")
    for process in seen(host.machine.group.members()):
        if process.argv[0] == victim:
            os.kill(process.pid, signal.SIGKILL)
    _until(lambda: not host.machine.group.members())
    assert not host.ask("ls")[1]["result"]["clusters"][0]["machines"][0]["up"]
    assert host.ask("up")[0] == 0
    assert host.url() == url
    assert (host.machine.folder / "data" / "kept").read_text() == "bytes"


def test_down_removes_a_machine_whose_holder_was_killed(host: Host) -> None:
    host.ask("up")
    holder = host.machine.holder()
    assert holder
    os.kill(holder.pid, signal.SIGKILL)
    assert host.ask("down")[0] == 0


def test_a_way_in_or_a_daemon_that_was_killed_is_started_again(host: Host) -> None:
    host.ask("up")
    for name in ("daemon.dev.relay", "tests.machine.standin"):
        [pid] = [
            each.pid
            for each in seen(host.machine.group.members())
            if name in each.argv and each.argv[0] == sys.executable
        ]
        os.kill(pid, signal.SIGKILL)
    _until(lambda: not _with_words(host.machine.relays))
    code, _, events = host.ask("up")
    assert (code, len(events)) == (0, 4)
    assert _get(host.url()) == b"here is the machine\n"


def test_down_finds_a_cluster_whose_folder_somebody_removed(host: Host) -> None:
    host.ask("up")
    for path in (host.machine.folder, host.machine.folder.parent):
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    assert host.ask("down")[0] == 0


def test_an_up_whose_daemon_ends_is_taken_back_and_says_what_its_log_said(host: Host) -> None:
    (host.root / "broken").touch()
    code, answer, events = host.ask("up")
    assert (code, answer["error"]["state"], answer["error"]["code"]) == (4, "taken_back", "dev.machine")
    assert BROKEN in answer["error"]["why"]
    assert [event["kind"] for event in events[-2:]] == ["undoing", "undone"]
    (host.root / "broken").unlink()
    assert host.left() == []


def test_an_up_that_is_interrupted_is_taken_back(host: Host) -> None:
    async def interrupt() -> None:
        environment = {"PYTHONPATH": str(HOUSE), "PLOYZ_DEV_DIR": str(host.root)}
        out = host.root / "out"
        pid = await detach(*host.words("up"), log=out, environment=environment)
        async with asyncio.timeout(20):
            while not _with_words(host.machine.holds):
                await asyncio.sleep(0.001)
            os.kill(pid, signal.SIGINT)
            while started(pid):
                await asyncio.sleep(0.01)

    asyncio.run(interrupt())
    last = json.loads((host.root / "out").read_text().splitlines()[-1])
    (host.root / "out").unlink()
    assert (last["error"]["code"], last["error"]["state"]) == ("dev.interrupted", "taken_back")
    assert host.left() == []


def test_without_rights_or_control_groups_it_is_refused(host: Host) -> None:
    assert host.ask_within("unshare", "--user", "--") == "dev.root"
    without = 'grep -o "/sys/fs/cgroup[^ ]*" /proc/self/mounts | sort -ru | xargs umount && exec "$@"'
    assert host.ask_within("unshare", "--mount", "--", "sh", "-c", without, "sh") == "dev.cgroups"
    assert not (host.root / "dev").exists()


def test_what_others_made_is_not_touched(host: Host) -> None:
    host.ask("up")
    theirs = host.root / "dev" / "letters"
    theirs.write_text("mine")
    beside = [folder.parent.with_name("ployz-dev-dev-somebody") for folder in host.machine.group.folders()]
    for folder in beside:
        folder.mkdir()
    pid = asyncio.run(detach("tail", "-f", str(theirs), log=Path("/dev/null")))
    code, answer, _ = host.ask("down")
    alive, kept = started(pid), theirs.read_text()
    os.kill(pid, signal.SIGKILL)
    _until(lambda: not started(pid))
    for folder in beside:
        folder.rmdir()
    assert (code, len(answer["warnings"]), bool(alive), kept) == (0, 1, True, "mine")
    assert host.ask("up")[1]["error"]["code"] == "dev.foreign"
    theirs.unlink()


def test_a_mount_in_its_folder_is_not_ours_to_remove(host: Host) -> None:
    host.ask("up")
    place = host.machine.folder / "theirs"
    place.mkdir()
    asyncio.run(run("mount", "-t", "tmpfs", "tmpfs", place))
    (place / "letters").write_text("mine")
    code, answer, _ = host.ask("down")
    kept = (place / "letters").read_text()
    asyncio.run(run("umount", place))
    assert (code, answer["error"]["code"], kept) == (3, "dev.mounted", "mine")


def _until(condition: Callable[[], object]) -> None:
    async def wait() -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)

    asyncio.run(wait())
