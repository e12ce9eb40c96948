"""Services on the host where systemd is the init system: all that holds without it, and what systemd itself sees."""

import asyncio
import os
import signal
from pathlib import Path

from runtime.host.engine import Host
from runtime.host.systemd import SLICE, unit
from tests.adapters.test_host import (
    condition,
    group,
    started,
    test_a_crash_is_survived_at_growing_pauses_and_counted,
    test_a_daemon_that_is_killed_in_the_middle_of_a_start_leaves_nothing_running,
    test_it_is_found_again_by_whoever_comes_next,
    test_nothing_outlives_the_first_process,
    test_one_that_hears_nothing_is_ended_by_force_with_its_grandchildren,
    test_one_that_listens_ends_with_its_own_code,
    test_what_a_process_is_given,
    test_what_cannot_be_started_here_is_refused_before_anything_is_made,
    until,
    without_supervisor,
)
from tests.booted.units import ours, systemctl, told

__all__ = [
    "test_a_crash_is_survived_at_growing_pauses_and_counted",
    "test_a_daemon_that_is_killed_in_the_middle_of_a_start_leaves_nothing_running",
    "test_it_is_found_again_by_whoever_comes_next",
    "test_nothing_outlives_the_first_process",
    "test_one_that_hears_nothing_is_ended_by_force_with_its_grandchildren",
    "test_one_that_listens_ends_with_its_own_code",
    "test_what_a_process_is_given",
    "test_what_cannot_be_started_here_is_refused_before_anything_is_made",
]


def test_an_instance_is_a_transient_unit_in_a_slice_of_ours(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, "sleep", "1000")
        assert ours() == {unit(id): "running"}
        found = told(unit(id), "Slice", "Delegate", "Transient", "Restart", "ControlGroup", "FragmentPath")
        assert (found["Slice"], found["Delegate"], found["Transient"], found["Restart"]) == (SLICE, "yes", "yes", "no")
        assert found["FragmentPath"].startswith("/run/"), "nothing starts it at boot"
        assert Path("/sys/fs/cgroup" + found["ControlGroup"]) == host.group(id)
        running = (await condition(host, id)).pid
        assert running in group(host, id).members()
        await host.stop(id, 5)
        assert ours() == {}
        await host.start(id)
        assert ours() == {unit(id): "running"}

    asyncio.run(scenario())


def test_when_the_machine_goes_down_the_command_is_asked_to_end_first(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, "sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done")
        await until(host, id, lambda _: "up" in (host.folder / id / "log").read_text())
        await asyncio.to_thread(systemctl, "stop", unit(id))
        found = await condition(host, id)
        assert (found.status, found.last_exit, await host.tail(id, 5)) == ("stopped", 3, "up\nbye")

    asyncio.run(scenario())


def test_what_is_left_of_one_whose_supervisor_was_killed_systemd_ends(host: Host) -> None:
    async def scenario() -> None:
        id, _ = await without_supervisor(host)
        found = await until(host, id, lambda found: found.status == "stopped")
        assert (found.last_exit, group(host, id).members()) == (137, set())
        await host.start(id)
        assert (await condition(host, id)).status == "running"

    asyncio.run(scenario())


def test_one_that_stands_still_goes_on_and_one_that_was_killed_may_start_again(host: Host) -> None:
    async def scenario() -> None:
        id = await started(host, "sleep", "1000")
        await host.pause(id)
        assert group(host, id).moving() == set()
        await host.go_on(id)
        for pid in group(host, id).members():
            os.kill(pid, signal.SIGKILL)
        await until(host, id, lambda found: found.status == "stopped")
        await host.start(id)
        assert ours() == {unit(id): "running"}

    asyncio.run(scenario())
