"""A detached process outlives the one that started it: clusters are made by a command that ends."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from dataplane.process import started
from runtime.command import ENVIRONMENT, run

STARTS_AND_ENDS = """
import asyncio, gc, pathlib, sys
from runtime.command import detach
print(asyncio.run(detach("sleep", "60", log=pathlib.Path(sys.argv[1]))))
gc.collect()
"""


def test_it_lives_on_when_the_loop_that_started_it_is_closed(tmp_path: Path) -> None:
    house = Path(__file__).parents[2]
    child = (sys.executable, "-W", "error", "-c", STARTS_AND_ENDS, tmp_path / "log")
    pid = int(asyncio.run(run("env", f"PYTHONPATH={house}", f"PATH={ENVIRONMENT['PATH']}", *child)))
    alive = started(pid)
    os.kill(pid, signal.SIGKILL)
    assert alive
