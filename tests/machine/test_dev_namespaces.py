"""Local clusters with a stand-in for the daemon: whatever is killed, and whenever, `dev down` leaves nothing."""

import asyncio
import json
import os
import shutil
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from daemon.dev.cluster import Cluster
from daemon.dev.machine import Machine
from daemon.dev.processes import Seen, seen
from dataplane.process import started
from runtime.command import detach, run
from tests.machine.clusters import Host, has_link, with_words
from tests.machine.standin import BROKEN
from tests.stopping import parent, stopped


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
    assert (code, answer["kind"], answer["result"]["machines"][0]["state"]) == (0, "dev", "up")
    assert [event["kind"] for event in events] == ["doing", "done"] * 5
    assert _get(host.url()) == b"here is the machine\n"
    before = host.machine.enclosure.group.members()
    code, again, events = host.ask("up")
    assert (code, again["result"]) == (0, answer["result"])
    assert [event["step"] for event in events] == ["0 dev runs already"]
    assert host.machine.enclosure.group.members() == before


def test_the_machine_has_a_network_mounts_processes_and_control_groups_of_its_own(host: Host) -> None:
    host.ask("up")
    holder = host.machine.enclosure.holder()
    assert holder
    for kind in ("net", "mnt", "pid", "cgroup"):
        assert os.readlink(f"/proc/{holder.pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    for pid in host.machine.enclosure.group.members():
        assert f"/{host.machine.enclosure.group.name}" in Path(f"/proc/{pid}/cgroup").read_text()
    inside = ("nsenter", "--target", str(holder.pid), "--mount", "--net", "--cgroup", "--pid", "--")
    assert asyncio.run(run(*inside, "sysctl", "-n", "net.ipv4.ip_forward")) == "1\n"
    assert "127.0.0.1/8" in asyncio.run(run(*inside, "ip", "-4", "addr", "show", "lo", "up"))
    assert "/.." not in asyncio.run(run(*inside, "grep", "cgroup", "/proc/self/mountinfo"))


def test_down_leaves_nothing_and_there_is_nothing_to_remove_after_it(host: Host) -> None:
    host.ask("up")
    code, answer, _ = host.ask("down")
    assert (code, answer["kind"], answer["result"]["machines"][0]["state"]) == (0, "dev", "off")
    assert host.left() == []
    code, answer, _ = host.ask("down")
    assert (code, answer["error"]["code"]) == (3, "dev.missing")


def test_a_folder_that_cannot_be_removed_leaves_it_stuck_until_it_can(host: Host) -> None:
    host.ask("up")
    fixed = host.machine.enclosure.folder / "fixed"
    fixed.touch()
    asyncio.run(run("chattr", "+i", fixed))
    try:
        code, answer, events = host.ask("down")
        assert (code, answer["error"]["code"]) == (5, "dev.stuck")
        assert str(fixed) in answer["error"]["why"]
        assert [event["kind"] for event in events] == ["doing"], "it is told as done"
        assert not host.machine.enclosure.group.members(), "it still runs"
    finally:
        asyncio.run(run("chattr", "-i", fixed))
    assert host.ask("down")[0] == 0
    assert host.left() == []


def _holder(machine: Machine) -> Seen | None:
    return next((each for each in seen() if each.argv == machine.enclosure.holds), None)


MOMENTS: dict[str, Callable[[Cluster], object]] = {
    "its folder is there": lambda cluster: cluster.folder.path.exists(),
    "the network is on its way": lambda cluster: with_words(cluster.underlay.enclosure.holds),
    "the network is there": lambda cluster: cluster.underlay.enclosure.holder(),
    "its control groups are there": lambda cluster: cluster.machine("m1").enclosure.group.exists(),
    "its first process is on its way": lambda cluster: with_words(cluster.machine("m1").enclosure.holds),
    "its first process is there": lambda cluster: _holder(cluster.machine("m1")),
    "it is ready": lambda cluster: cluster.machine("m1").enclosure.holder(),
    "it has a link": lambda cluster: has_link(cluster.machine("m1")),
    "the way in is on its way": lambda cluster: with_words(cluster.machine("m1").relays),
    "its daemon is on its way": lambda cluster: with_words(cluster.machine("m1").serves),
    "its daemon listens": lambda cluster: cluster.machine("m1").door.exists(),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_down_finds_everything_of_an_up_that_was_killed_when(host: Host, moment: str) -> None:
    host.cut("up", MOMENTS[moment])
    code, _, _ = host.ask("down")
    assert code == 0
    assert host.left() == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_up_finishes_an_up_that_was_killed_when(host: Host, moment: str) -> None:
    host.cut("up", MOMENTS[moment])
    assert host.ask("up")[1]["ok"] is True
    assert _get(host.url()) == b"here is the machine\n"
    holders = [each for each in seen() if each.argv == host.machine.enclosure.holds]
    assert len(holders) == 1


@pytest.mark.parametrize("victim", ["unshare", "tini", "flock", "sleep"])
def test_a_machine_whose_holder_was_killed_is_all_gone_and_starts_again_from_its_disk(host: Host, victim: str) -> None:
    host.ask("up")
    url = host.url()
    (host.machine.enclosure.folder / "data").mkdir()
    (host.machine.enclosure.folder / "data" / "kept").write_text("bytes")
    for process in seen(host.machine.enclosure.group.members()):
        if process.argv[0] == victim:
            os.kill(process.pid, signal.SIGKILL)
    _until(lambda: not host.machine.enclosure.group.members())
    assert host.ask("ls")[1]["result"]["clusters"][0]["machines"][0]["state"] == "off"
    assert host.ask("up")[0] == 0
    assert host.url() == url
    assert (host.machine.enclosure.folder / "data" / "kept").read_text() == "bytes"


def test_down_removes_a_machine_whose_holder_was_killed(host: Host) -> None:
    host.ask("up")
    holder = host.machine.enclosure.holder()
    assert holder
    os.kill(holder.pid, signal.SIGKILL)
    assert host.ask("down")[0] == 0


def test_a_way_in_or_a_daemon_that_was_killed_is_started_again(host: Host) -> None:
    host.ask("up")
    for name in ("daemon.dev.relay", "tests.machine.standin"):
        os.kill(_inside(host, name), signal.SIGKILL)
    code, _, events = host.ask("up")
    assert (code, len(events)) == (0, 4)
    assert _get(host.url()) == b"here is the machine\n"


@pytest.mark.parametrize("name", ["daemon.dev.relay", "tests.machine.standin"])
def test_what_is_still_ending_is_waited_for_and_started_again(host: Host, name: str) -> None:
    """Of what was killed a thread may still wait for a disk: what led it in is there until then."""
    host.ask("up")
    killed = _inside(host, name)
    with ThreadPoolExecutor() as beside:
        with stopped(parent(killed)):
            os.kill(killed, signal.SIGKILL)
            up = beside.submit(host.ask, "up")
            time.sleep(2.0)
        code, answer, _ = up.result()
    assert code == 0, answer
    assert _inside(host, name) != killed
    assert _get(host.url()) == b"here is the machine\n"


def _inside(host: Host, name: str) -> int:
    """The pid of what runs in the machine under this name."""
    members = seen(host.machine.enclosure.group.members())
    [pid] = [each.pid for each in members if name in each.argv and each.argv[0] == sys.executable]
    return pid


def test_down_finds_a_cluster_whose_folder_somebody_removed(host: Host) -> None:
    host.ask("up")
    shutil.rmtree(host.cluster.folder.path)
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
    said = host.cut("up", MOMENTS["its first process is on its way"], by=signal.SIGINT)
    error = json.loads(said.splitlines()[-1])["error"]
    assert (error["code"], error["state"]) == ("dev.interrupted", "taken_back")
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
    beside = [folder.parent.with_name("ployz-dev-dev-somebody") for folder in host.machine.enclosure.group.folders()]
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
    place = host.machine.enclosure.folder / "theirs"
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
