"""A question before what cannot be undone."""

import sys

from ctl.flags import Flags
from ctl.listen import Failed
from ctl.show import tell
from daemon.wire import Failure, Refused


def confirm(flags: Flags, what: str, question: str) -> None:
    """Ask, unless --yes or --preview was said. Raises Failed `question.no`, and `question.unasked` off a terminal."""
    if flags.yes or flags.preview:
        return
    if not sys.stdin.isatty():
        refused = Refused("question.unasked", what, f"nobody can be asked here: {question}", "--yes")
        raise Failed(Failure(refused.error), changes=True)
    tell(f"{question} [y/N]")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failed(Failure(Refused("question.no", what, "you said no").error), changes=True)
