"""How the program inside instances is started, and what it is told."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from runtime.command import ENVIRONMENT
from runtime.host import inside
from runtime.host.numbers import CAPABILITIES, ULIMITS
from runtime.instance import Specification

PROGRAM = (sys.executable, "-I", "-S", inside.__file__)
NAMESPACES = ("--net", "--mount", "--ipc")


def settings(specification: Specification, argv: Sequence[str], groups: Iterable[Path]) -> dict[str, Any]:
    """What `inside.become` reads. Nothing of the daemon's own environment is passed on; HOME is the user's.

    `groups` are the control groups that the command joins.
    """
    base = {name: value for name, value in ENVIRONMENT.items() if name != "HOME"}
    bounds = specification.bounds
    return {
        "argv": list(argv),
        "env": {**base, **specification.env},
        "user": specification.user,
        "workdir": specification.workdir,
        "doors": [str(group / "cgroup.procs") for group in groups],
        "ulimits": [(ULIMITS[name], list(pair)) for name, pair in sorted(bounds.ulimits.items())],
        "capabilities": sorted(CAPABILITIES[name] for name in bounds.cap_add),
    }
