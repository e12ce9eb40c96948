"""Ask the daemon: a look, or a mutation, which Ctrl-C takes back."""

import base64
import os
import time
from collections.abc import Callable
from dataclasses import replace

import msgspec

from ctl import contexts
from ctl.carrying import Carrier, Carry, Carrying
from ctl.client import Connection, Lost
from ctl.flags import Flags
from ctl.lines import Ending, Line
from ctl.listen import Failed, Leave, OnInterrupt, Source, listen
from ctl.progress import Progress
from ctl.show import Screen
from daemon.wire import (
    Call,
    Error,
    Failure,
    How,
    Mutation,
    OpAbort,
    OpResume,
    Output,
    Problem,
    Request,
    Streamed,
    Success,
)

AWAY = 60.0
"""Seconds until a daemon that starts anew is given up."""
GONE = ("daemon.lost", "daemon.stopping")
AGAIN = "Ctrl-C again lets go of it: then it ends without you."


class TakeBack:
    """The first Ctrl-C asks the daemon to take the operation back; the second lets go of it."""

    def __init__(self, place: contexts.Place, operation: str) -> None:
        self.also: Source | None = None
        self._place, self.operation, self._asked = place, operation, False

    def pressed(self, progress: Progress) -> None:
        if self._asked:
            raise Failed(let_go(self.operation))
        self._asked = True
        progress.note(f"Asking the daemon to take {self.operation} back. {AGAIN}")
        try:
            connection = Connection(self._place)
        except Problem as problem:
            progress.note(f"{problem.what}: because {problem.why}")
            return
        connection.ask(Call(OpAbort(self.operation)))
        self.also = connection

    def heard(self, line: Line, progress: Progress) -> None:
        if isinstance(line, Failure):
            progress.note(f"{line.error.what}: because {line.error.why}. Waiting for its ending. {AGAIN}")
        if isinstance(line, Success | Failure):
            self.also = None


def look(request: Request, flags: Flags, output: Callable[[Output], None] | None = None) -> Success:
    """Ask for what changes nothing; raise Failed for a failure."""
    return _done(_ask(Call(request), flags, Leave(), output=output), changes=False)


def mutate(request: Mutation, flags: Flags) -> Success:
    """Carry a mutation out, or preview it; raise Failed for every other ending than *done*."""
    how = flags.how()
    if how.preview:
        return _done(_ask(Call(request, how), flags, Leave()), changes=False)
    operation = how.op_id or new_operation()
    how = msgspec.structs.replace(how, op_id=operation)
    return _carry_out(Call(request, how), operation, flags)


def returning(request: Mutation, flags: Flags) -> Success:
    """A mutation during which the daemon starts anew: whoever loses it attaches to the operation again."""
    flags = replace(flags, op_id=flags.op_id or (None if flags.preview else new_operation()))
    try:
        return mutate(request, flags)
    except Failed as failure:
        if failure.failure.error.code not in GONE:
            raise
    until = time.monotonic() + AWAY
    while True:
        try:
            return mutate(request, flags)
        except (Failed, Problem) as failure:
            error = failure.failure.error if isinstance(failure, Failed) else failure.error
            if error.code not in (*GONE, "daemon.unreachable") or time.monotonic() > until:
                raise
        time.sleep(0.1)


def carried(request: Streamed, flags: Flags, carry: Carry, total: int | None) -> tuple[Success, Carrier]:
    """Carry out a mutation whose bytes go over a connection of their own. What went wrong with those counts first."""
    how = flags.how()
    operation = how.op_id or new_operation()
    place = place_of(flags)
    carrier = Carrier(place, operation, carry, total)
    call = Call(request, msgspec.structs.replace(how, op_id=operation))
    ending = _ask(call, flags, TakeBack(place, operation), carrier=carrier)
    if isinstance(ending, Failure) and carrier.failure:
        error = msgspec.structs.replace(ending.error, why=f"{carrier.failure}; {ending.error.why}")
        ending = msgspec.structs.replace(ending, error=error)
    return _done(ending, changes=True), carrier


def resume(request: OpResume, flags: Flags) -> Success:
    """Carry on with an operation that is stuck."""
    return _carry_out(Call(request, How(take_over=flags.take_over)), request.id, flags)


def abort(request: OpAbort, flags: Flags) -> Success:
    """Have the daemon take an operation back, and wait until it is."""
    return _done(_ask(Call(request), flags, Leave()), changes=True)


def new_operation() -> str:
    """An id that nobody has chosen yet: 30 bits of seconds, then 30 random ones, as 12 letters and digits."""
    number = (int(time.time()) & (1 << 30) - 1) << 30 | int.from_bytes(os.urandom(4), "big") >> 2
    return "op-" + base64.b32encode((number << 4).to_bytes(8, "big"))[:12].decode().lower()


def place_of(flags: Flags) -> contexts.Place:
    """The daemon that the flags, the environment and the contexts name."""
    return contexts.place(flags.socket, flags.context, os.environ)


def lost(operation: str | None) -> Failure:
    """The failure of a connection that ended early."""
    if operation is None:
        why = "the daemon went away before it had answered"
        return Failure(Error("daemon.lost", "error", "cannot get an answer", why, "the same again"))
    what = f"cannot tell how {operation} ends"
    why = "the daemon went away; the operation goes on or is taken back when it is back"
    hint = f"ployzctl op show {operation} -f"
    return Failure(Error("daemon.lost", "error", what, why, hint), operation)


def let_go(operation: str) -> Failure:
    """The failure of somebody who did not wait for the ending."""
    what, why = f"cannot tell how {operation} ends", "you let go of it; the daemon goes on with it"
    return Failure(Error("detached", "error", what, why, f"ployzctl op show {operation} -f"), operation)


def _carry_out(call: Call, operation: str, flags: Flags) -> Success:
    interrupt = TakeBack(place_of(flags), operation)
    return _done(_ask(call, flags, interrupt), changes=True)


def _ask(
    call: Call,
    flags: Flags,
    interrupt: OnInterrupt,
    *,
    output: Callable[[Output], None] | None = None,
    carrier: Carrier | None = None,
) -> Ending:
    screen = Screen(json=flags.json, events=flags.events)
    operation = interrupt.operation if isinstance(interrupt, TakeBack) else None
    progress = Carrying(screen.progress(), carrier) if carrier else screen.progress()
    with Connection(place_of(flags)) as connection:
        connection.ask(call)
        try:
            return listen(connection, progress, output or _unexpected, interrupt)
        except Lost:
            raise Failed(lost(operation)) from None
        except Problem as problem:
            raise Failed(Failure(problem.error, operation)) from None


def _done(ending: Ending, *, changes: bool) -> Success:
    if isinstance(ending, Failure):
        raise Failed(ending, changes=changes)
    return ending


def _unexpected(_: Output) -> None:
    """Nothing but logs and commands have output; what a newer daemon adds is not ours to show."""
