"""The endings that are not *done*, as exceptions: what a daemon raises, and what an error line stands for."""

from daemon.wire.answers import Error, State


class Problem(Exception):
    """An ending that is not *done*: cannot `what`, because `why`, try `hint`; `code` is stable."""

    state: State = "error"

    def __init__(self, code: str, what: str, why: str = "", hint: str = "") -> None:
        self.code, self.what, self.why, self.hint = code, what, why, hint
        self.operation: str | None = None
        super().__init__(code, what, why, hint)

    def __str__(self) -> str:
        return self.what + (f": {self.why}" if self.why else "") + (f" (try: {self.hint})" if self.hint else "")

    @property
    def error(self) -> Error:
        return Error(self.code, self.state, self.what, self.why, self.hint)


class Refused(Problem):
    """A precondition failed; nothing was changed."""

    state: State = "refused"


class TakenBack(Problem):
    """It was tried, it failed, and the world is as it was before."""

    state: State = "taken_back"


class Stuck(Problem):
    """Neither done nor taken back yet: the journal says where, and resuming carries on from there."""

    state: State = "stuck"


PROBLEMS: dict[State, type[Problem]] = {
    "error": Problem,
    "refused": Refused,
    "taken_back": TakenBack,
    "stuck": Stuck,
}


def problem(error: Error) -> Problem:
    """The exception that an error line stands for."""
    return PROBLEMS[error.state](error.code, error.what, error.why, error.hint)
