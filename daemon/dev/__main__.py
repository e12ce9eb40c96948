"""`python -m daemon.dev` is `ployzd dev`."""

import sys

from daemon.dev.main import answer

if __name__ == "__main__":
    sys.exit(answer(sys.stdin.buffer, sys.stdout.buffer))
