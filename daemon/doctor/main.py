"""`ployzd doctor`: what can be told of a host without a daemon, as one line of an answer."""

import asyncio
import os
from pathlib import Path
from typing import BinaryIO

from daemon.dev.cluster import ROOT
from daemon.doctor import host
from daemon.doctor.assumption import examine, told
from daemon.wire import encode


def answer(stdout: BinaryIO) -> int:
    """Write one Success of kind `doctor`; `PLOYZ_DEV_DIR` names the folder whose room is looked at. Returns 0."""
    folder = Path(os.environ.get("PLOYZ_DEV_DIR") or ROOT)
    checks = asyncio.run(examine(host.assumptions(folder), os.uname().nodename.partition(".")[0].lower()))
    stdout.write(encode(told(checks)))
    return 0
