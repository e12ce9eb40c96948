"""Operations: one at a time, asked for once however often one asks, taken back by whoever does not want them."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.machine.cluster import Cluster, Ran, wait_until
from tests.machine.manifests import LITE, SLOW, lite
from tests.machine.world import assert_untouched, world


@contextmanager
def at_work(cluster: Cluster, id: str, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A deploy of `lite` that waits in its hook, until it is taken back."""
    with cluster.begin("--json", "deploy", "-f", "-", "--op-id", id, *words) as process:
        assert process.stdin
        process.stdin.write(lite(2, hooks=SLOW).encode())
        process.stdin.close()
        process.stdin = None  # or `communicate` would close it again
        try:
            wait_until(lambda: "run the hook of web" in says(cluster, id), "the hook runs")
            yield process
        finally:
            if process.poll() is None:
                cluster.ctl("op", "abort", id)


def says(cluster: Cluster, id: str) -> str:
    return next((row["says"] for row in cluster.done("op", "ls")["operations"] if row["id"] == id), "")


def ended(process: "subprocess.Popen[bytes]") -> Ran:
    out, err = process.communicate(timeout=60)
    return Ran(process.returncode, out.decode(), err.decode())


def assert_aborted(ran: Ran) -> None:
    assert (ran.code, ran.error["state"], ran.error["code"]) == (4, "taken_back", "operation.aborted"), ran.out


def test_a_second_deploy_is_refused_and_told_who_since_when_and_which_and_the_first_can_be_aborted(
    light: Cluster,
) -> None:
    before = world(light)
    with at_work(light, "first") as first:
        second = light.deploy(lite(2))
        assert (second.code, second.error["code"]) == (3, "claim.held")
        since = r"it is being changed by root since \d{4}-\d\d-\d\dT\S+Z \(deploy, operation first\)"
        assert re.fullmatch(since, second.error["why"])
        assert "--wait SECONDS" in second.error["try"]
        assert light.ctl("rollback", "lite").error["code"] == "claim.held"
        branched = light.ctl("branch", "apply", "lite", "pr-42")
        assert (branched.error["code"], branched.error["why"]) == ("claim.held", second.error["why"])
        assert light.get("/version", host=LITE) == "1"

        assert light.done("op", "abort", "first") == {"id": "first"}
        assert_aborted(ended(first))
    assert_untouched(light, before)
    assert light.ctl("op", "abort", "first").error["code"] == "operation.not_running"
    assert light.ctl("op", "abort", "nothing").error["code"] == "operation.not_running"


def test_whoever_waits_goes_on_when_the_first_is_over(light: Cluster) -> None:
    with at_work(light, "in-front") as first:
        with light.begin("--json", "deploy", "-f", "-", "--wait", "60") as second:
            assert second.stdin
            second.stdin.write(lite(2).encode())
            second.stdin.close()
            second.stdin = None
            light.done("op", "abort", "in-front")
            assert_aborted(ended(first))
            ran = ended(second)
        assert ran.code == 0, ran.out
    assert light.get("/version", host=LITE) == "2"


def test_waiting_ends(light: Cluster) -> None:
    with at_work(light, "holder"):
        assert light.deploy(lite(2), "--wait", "0.3").error["code"] == "claim.held"


def test_ctrl_c_takes_it_back_and_waits_for_that(light: Cluster) -> None:
    before = world(light)
    with at_work(light, "pressed") as process:
        process.send_signal(signal.SIGINT)
        ran = ended(process)
    assert_aborted(ran)
    assert_untouched(light, before)
    assert light.get("/version", host=LITE) == "1"


def test_whoever_goes_away_leaves_it_at_work(light: Cluster) -> None:
    """Only Ctrl-C takes it back: a laptop that is closed does not."""
    with at_work(light, "left") as process:
        process.kill()
        process.wait()
        assert "run the hook of web" in says(light, "left")
        light.done("op", "abort", "left")


def test_time_that_is_over_takes_it_back(light: Cluster) -> None:
    before = world(light)
    ran = light.deploy(lite(2, hooks=SLOW), "--timeout", "1")
    assert_aborted(ran)
    assert_untouched(light, before)


def test_the_same_id_again_is_the_same_operation(light: Cluster) -> None:
    first = light.deploy(lite(2), "--op-id", "once")
    assert first.code == 0
    before = world(light)
    assert light.deploy(lite(2), "--op-id", "once").json == first.json
    assert_untouched(light, before)
    assert [row["id"] for row in light.done("op", "ls", "--all")["operations"]].count("once") == 1
    other = light.deploy(lite(1), "--op-id", "once")
    assert (other.code, other.error["code"]) == (3, "operation.other_request")
    assert_untouched(light, before)


def test_the_same_id_of_one_that_failed_fails_the_same(light: Cluster) -> None:
    broken = lite(2, command='["false"]')
    first = light.deploy(broken, "--op-id", "failed-once")
    assert first.code == 4
    again = light.deploy(broken, "--op-id", "failed-once")
    assert (again.code, again.json) == (4, first.json)


def test_the_same_id_of_one_at_work_waits_for_it(light: Cluster) -> None:
    with at_work(light, "shared") as first, light.begin("--events", "deploy", "-f", "-", "--op-id", "shared") as second:
        assert second.stdin
        assert second.stdout
        second.stdin.write(lite(2, hooks=SLOW).encode())
        second.stdin.close()
        second.stdin = None
        assert json.loads(second.stdout.readline())["kind"] == "planned", "it is told all from the beginning"
        light.done("op", "abort", "shared")
        ran, other = ended(first), second.stdout.read().splitlines()[-1]
        assert_aborted(ran)
        assert json.loads(other) == ran.json


def test_an_id_that_cannot_be_a_part_of_names(light: Cluster) -> None:
    for id in ("-x", "Ä", "a/b", "x" * 41):
        ran = light.deploy(lite(2), f"--op-id={id}")
        assert (ran.code, ran.error["code"]) == (3, "operation.id")


def test_its_story_can_be_read_again(light: Cluster) -> None:
    answer = light.deploy(lite(2), "--op-id", "told").json
    shown = light.done("op", "show", "told")
    assert shown["operation"]["state"] == "done"
    assert shown["operation"]["ended_at"]
    kinds = [event["kind"] for event in shown["events"]]
    assert (kinds[0], kinds[-1]) == ("planned", "finished")
    assert kinds.index("committing") + 1 == kinds.index("committed")
    assert shown["answer"]["answer"]["result"] == answer["result"]
    text = light.plain("op", "show", "told").out
    assert "deploy lite" in text
    assert "start lite-web-1-told and see it ready" in text
    assert light.ctl("op", "show", "nothing").error["code"] == "operation.missing"
    assert light.ctl("op", "resume", "nothing").error["code"] == "operation.missing"
    assert light.done("op", "resume", "told") == answer["result"], "what is over is only told again"
