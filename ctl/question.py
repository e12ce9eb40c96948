"""What is asked before something is lost for good: a name, typed by a person."""

import sys

from ctl.flags import Flags
from ctl.show import tell
from daemon.wire import Refused


def require_typed(name: str, question: str, cannot: str, flags: Flags) -> None:
    """Have the name typed at the terminal. With --yes or --preview nothing is asked; without a terminal neither.

    Raises Refused `question.unanswered` and `question.differs`.
    """
    if flags.yes or flags.preview:
        return
    if not sys.stdin.isatty():
        why = f"nobody can be asked here: {question}"
        raise Refused("question.unanswered", cannot, why, "--yes, if it is meant")
    tell(f"{question} Type {name} if it is meant.")
    if sys.stdin.readline().strip() != name:
        raise Refused("question.differs", cannot, "something else was typed", "nothing was changed")
