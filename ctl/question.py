"""What is asked before something is lost for good: a yes, or a name, typed by a person."""

import sys

from ctl.flags import Flags
from ctl.show import tell
from daemon.wire import Refused


def require_yes(question: str, cannot: str, flags: Flags) -> None:
    """Have a person say yes, as `require_typed` does with a name. Raises Refused `question.no`."""
    answer = _asked(question, f"{question} [y/N]", cannot, flags)
    if answer is not None and answer.lower() not in ("y", "yes"):
        raise Refused("question.no", cannot, "you said no", "nothing was changed")


def require_typed(name: str, question: str, cannot: str, flags: Flags) -> None:
    """Have the name typed at the terminal. With --yes or --preview nothing is asked; without a terminal neither.

    Raises Refused `question.unanswered` and `question.differs`.
    """
    answer = _asked(question, f"{question} Type {name} if it is meant.", cannot, flags)
    if answer is not None and answer != name:
        raise Refused("question.differs", cannot, "something else was typed", "nothing was changed")


def _asked(question: str, words: str, cannot: str, flags: Flags) -> str | None:
    """What a person typed; None where nothing is asked."""
    if flags.yes or flags.preview:
        return None
    if not sys.stdin.isatty():
        why = f"nobody can be asked here: {question}"
        raise Refused("question.unanswered", cannot, why, "--yes, if it is meant")
    tell(words)
    return sys.stdin.readline().strip()
