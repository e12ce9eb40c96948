"""Asking costs little: nothing heavy is imported, and nothing of the house but the contract."""

import subprocess
import sys

from daemon.wire import Success
from tests.fakes.ployzd import answering, daemon
from tests.fakes.terminal import HOUSE, environment

ASK = """
import sys
from ctl.__main__ import main
code = main(sys.argv[1:])
print("\\n".join(sys.modules), file=sys.stderr)
sys.exit(code)
"""
HEAVY = {
    "aiohttp",
    "asyncio",
    "docker",
    "email",
    "http",
    "json",
    "nats",
    "pathlib",
    "rich",
    "ssl",
    "subprocess",
    "urllib",
}


def loaded(*words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", ASK, *words], cwd=HOUSE, env=environment(), capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_a_look_loads_nothing_heavy() -> None:
    with daemon(answering(Success("instances", {"instances": []}))) as playing:
        modules = loaded("--json", "ps", "--socket", playing.socket)
    assert not HEAVY & modules
    assert "difflib" not in modules


def test_of_the_house_only_the_contract_is_loaded() -> None:
    with daemon(answering(Success("instances", {"instances": []}))) as playing:
        modules = loaded("ps", "--socket", playing.socket)
    house = {name for name in modules if name.partition(".")[0] in ("daemon", "dataplane", "runtime")}
    assert {name for name in house if not name.startswith("daemon.wire")} == {"daemon"}
