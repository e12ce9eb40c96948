"""Have every assumption checked: by the daemon, or, where none runs, of this host alone."""

import click
import msgspec

from ctl import local
from ctl.ask import look, place_of
from ctl.flags import Flags
from ctl.grammar import command
from ctl.lines import read
from ctl.show import Answer, Screen, answer
from ctl.texts.doctor import Checks
from daemon.wire import EXIT, Check, Doctor, Problem, Success


@command("doctor", example="ployzctl doctor")
@click.option("--host", is_flag=True, help="only what this host has to bring along; no daemon is asked")
@click.pass_obj
def doctor(flags: Flags, host: bool) -> Answer:  # noqa: FBT001
    """Check every assumption of the machine, and say what to do."""
    success = _of_host(flags) if host else _of_daemon(flags)
    failed = any(check.state == "failure" for check in read(success.result, Checks).checks)
    return answer(success, EXIT["refused"] if failed else 0)


def _of_daemon(flags: Flags) -> Success:
    try:
        return look(Doctor(), flags)
    except Problem as problem:
        if problem.code != "daemon.unreachable":
            raise
        return _without_daemon(problem, flags)


def _without_daemon(problem: Problem, flags: Flags) -> Success:
    """What can be told all the same. Nobody who named no daemon relies on one yet."""
    alone = _of_host(flags)
    named = place_of(flags).named
    why = f"only this host was looked at: {problem.why}"
    check = Check("daemon", "failure" if named else "warning", why, problem.hint or "ployzctl dev up")
    found = [check, *read(alone.result, Checks).checks]
    return msgspec.structs.replace(alone, result={"checks": msgspec.to_builtins(found)})


def _of_host(flags: Flags) -> Success:
    return local.ask(Doctor(), Screen(json=flags.json, events=flags.events))
