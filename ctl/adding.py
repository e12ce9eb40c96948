"""A host that is reached by ssh becomes one of the mesh: ployz is brought there, started, and joins by an invitation.

Each host is looked at before anything is changed on one. What is there already is used as it is, so a command that was
cut off can be said again.
"""

import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import IO

import msgspec
from msgspec import structs

from ctl import booting, shipping
from ctl.ask import AWAY, mutate, new_operation
from ctl.booting import LOG
from ctl.flags import Flags
from ctl.lines import read
from ctl.listen import Failed
from ctl.newcomer import Newcomer, answer_of, strange
from ctl.progress import Progress
from ctl.shipping import PREFIX
from ctl.ssh import Ended
from daemon.wire import (
    Check,
    Invited,
    JoinedMachine,
    MachineInvite,
    MachineRevoke,
    Machines,
    Preview,
    Problem,
    Refused,
    Stuck,
    Success,
)

STARTS = 120.0
"""Seconds until a daemon that was started has to answer: it makes a pool, and starts an engine."""
AGAIN = 0.5
"""Seconds between two questions."""
SOCKET = "/var/run/docker.sock"


class _Checks(msgspec.Struct):
    checks: list[Check]


def add(newcomers: Sequence[Newcomer], name: str | None, flags: Flags, progress: Progress) -> Success:
    """Bring them in, one after the other.

    Raises the problem of the first that fails; it is Stuck once anything was changed, and names what was done and what
    was not begun.
    """
    done: list[Success] = []
    for at, newcomer in enumerate(newcomers):
        way = _Way(newcomer, flags, progress)
        try:
            done.append(way.go(name))
        except (Failed, Problem) as failure:
            error = failure.failure.error if isinstance(failure, Failed) else failure.error
            if not done and not way.changed:
                raise
            joined = [f"{_joined(each).name} has joined" for each in done]
            unbegun = [f"{each.target} was not begun" for each in newcomers[at + 1 :]]
            why = "; ".join([error.why, *way.changed, *joined, *unbegun])
            raise Stuck(error.code, error.what, why, error.hint) from failure
    machines = Machines([_joined(each) for each in done], read(done[-1].result, Machines).store)
    warnings = [warning for each in done for warning in each.warnings]
    return Success("machines", msgspec.to_builtins(machines), done[-1].operation, warnings)


def preview(newcomers: Sequence[Newcomer], name: str | None) -> Success:
    """What would be done, step by step."""
    steps = [step for newcomer in newcomers for step in newcomer.steps(name)]
    return Success("preview", msgspec.to_builtins(Preview("machine.add", steps, len(steps))))


@dataclass
class _Way:
    """The way of one host into the mesh; `changed` is what was done there for it, in words, and `warnings` what it does
    not do by itself."""

    newcomer: Newcomer
    flags: Flags
    progress: Progress
    changed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def go(self, name: str | None) -> Success:
        if not self.newcomer.installed:
            self._install()
        if not self.newcomer.answers:
            self._start()
        joined = self._let_in(name)
        return structs.replace(joined, warnings=[*joined.warnings, *self.warnings])

    def _run(self, *words: str, given: bytes | IO[bytes] = b"") -> Ended:
        return self.newcomer.host.run(*words, given=given)

    def _install(self) -> None:
        """It appears whole: what an earlier command has left half done is made anew."""
        self.progress.note(f"Installing ployz on {self.newcomer.target}")
        self.changed.append(f"ployz was installed there, in {PREFIX}")
        fresh = f"{PREFIX}.new"
        with tempfile.TemporaryFile() as packed:
            shipping.pack(packed)
            packed.seek(0)
            self._do("python3", "-m", "venv", "--clear", "--without-pip", fresh)
            self._do("tar", "--extract", "--directory", fresh, "--no-same-owner", given=packed)
        self._do("mv", "--no-target-directory", fresh, PREFIX)
        self._do("ln", "-sf", "-t", "/usr/local/bin", *(f"{PREFIX}/bin/{name}" for name in shipping.COMMANDS))

    def _do(self, *words: str, given: bytes | IO[bytes] = b"") -> None:
        ended = self._run(*words, given=given)
        if ended.code:
            cannot, why = f"cannot install ployz on {self.newcomer.target}", f"{words[0]}: {ended.err.strip()}"
            raise Problem("machine.install", cannot, why, f"see what is in {PREFIX} there")

    def _start(self) -> None:
        """With the engine that is there, else with one of its own."""
        self._require_ready()
        self.progress.note(f"Starting ployzd on {self.newcomer.target}")
        self.changed.append("ployzd was started there")
        engine = [] if self._run("test", "-S", SOCKET).code == 0 else ["--engine", "managed"]
        started = booting.start(self.newcomer.host, "ployzd", *engine)
        self.warnings += [started.warning] if started.warning else []
        until = time.monotonic() + STARTS
        while not isinstance(answer_of(self._run("ployzctl", "--json", "version")), Success):
            ended = started.has_ended()
            if ended or time.monotonic() > until:
                log = self._run("tail", "-n", "5", LOG).out.decode(errors="replace").strip()
                why = "it has ended" if ended else f"it does not answer within {STARTS:.0f} seconds"
                cannot, why = f"cannot start ployzd on {self.newcomer.target}", f"{why}; its log ends: {log}"
                raise Problem("machine.silent", cannot, why, f"see {LOG} there")
            time.sleep(AGAIN)

    def _require_ready(self) -> None:
        told = answer_of(self._run("ployzd", "doctor"))
        if not isinstance(told, Success):
            raise strange(self.newcomer.host, "`ployzd doctor` does not run there")
        wrong = [check for check in read(told.result, _Checks).checks if check.state == "failure"]
        if wrong:
            why = "; ".join(f"{check.name}: {check.says} ({check.hint})" for check in wrong)
            hint = "the same once that is there"
            raise Refused("machine.unready", f"cannot start ployzd on {self.newcomer.target}", why, hint)

    def _let_in(self, name: str | None) -> Success:
        """Whoever says the same --op-id again finds the same invitation; one that nobody came by is revoked."""
        self.progress.note(f"Inviting {self.newcomer.target}, and having it join")
        operation = self.flags.op_id or new_operation()
        invited = mutate(MachineInvite(name=name), replace(self.flags, op_id=f"{operation}-invite"))
        invitation = read(invited.result, Invited)
        try:
            return self._joined_by(invitation.token, operation)
        except Failed as failed:
            if failed.failure.error.state in ("refused", "taken_back"):
                with suppress(Failed, Problem):  # then it ends by itself
                    mutate(MachineRevoke(invitation.id), replace(self.flags, op_id=None))
            raise

    def _joined_by(self, token: str, operation: str) -> Success:
        """Whoever loses the way there asks again for the same operation."""
        until = time.monotonic() + AWAY
        while True:
            try:
                ended = self._run("ployzctl", "--json", "--op-id", operation, "join", "-", given=token.encode())
                told, why = answer_of(ended), f"ployzctl ended there with {ended.code}: {ended.err.strip()}"
            except Refused as lost:
                told, why = None, str(lost)
            if isinstance(told, Success):
                return told
            if told:
                raise Failed(told, changes=True)
            if time.monotonic() > until:
                hint = f"ployzctl machine ls; ployzctl op show {operation}, over there"
                raise Problem("machine.unanswered", f"cannot tell whether {self.newcomer.target} has joined", why, hint)
            time.sleep(AGAIN)


def _joined(success: Success) -> JoinedMachine:
    [joined] = read(success.result, Machines).machines
    return joined
