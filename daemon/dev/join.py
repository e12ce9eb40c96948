"""Become another program inside control groups: `python -m daemon.dev.join DOOR... -- PROGRAM [ARGUMENT...]`.

A process cannot be started in a group, only move there; so it moves first, and whatever it starts is in it too.
"""

import os
import sys
from pathlib import Path


def join(words: list[str]) -> None:
    """Join the groups whose `cgroup.procs` files come before `--`, then become what comes after it."""
    split = words.index("--")
    for door in words[:split]:
        Path(door).write_text("0")
    os.execvp(words[split + 1], words[split + 1 :])


if __name__ == "__main__":
    join(sys.argv[1:])
