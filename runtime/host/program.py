"""How the program inside instances is started, and what it is told."""

import sys
from collections.abc import Sequence
from typing import Any

from runtime.command import ENVIRONMENT
from runtime.host import inside
from runtime.instance import Specification

PROGRAM = (sys.executable, "-I", "-S", inside.__file__)
NAMESPACES = ("--net", "--mount", "--ipc")


def settings(specification: Specification, argv: Sequence[str]) -> dict[str, Any]:
    """What `inside.become` reads. Nothing of the daemon's own environment is passed on; HOME is the user's."""
    base = {name: value for name, value in ENVIRONMENT.items() if name != "HOME"}
    return {
        "argv": list(argv),
        "env": {**base, **specification.env},
        "user": specification.user,
        "workdir": specification.workdir,
    }
