"""Operations: those that are open, what each did, and how to end one that has not ended."""

import click

from ctl.ask import abort, look, resume
from ctl.flags import Flags
from ctl.grammar import Group, command, group
from ctl.show import Answer, answer
from daemon import wire

op = group(Group, "op", "List, show, resume and abort operations.")


@command("ls", example="ployzctl op ls --all")
@click.option("--all", "all_", is_flag=True, help="also those that are over")
@click.pass_obj
def ls(flags: Flags, *, all_: bool) -> Answer:
    """List the operations that are not over."""
    return answer(look(wire.OpLs(all_), flags))


@command("show", example="ployzctl op show op-mf2a7c4kq3xe -f")
@click.argument("operation", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="stay until it is over, and end as it does")
@click.pass_obj
def show(flags: Flags, operation: str, *, follow: bool) -> Answer:
    """Show an operation with what it did so far."""
    return answer(look(wire.OpShow(operation, follow), flags))


@command("resume", example="ployzctl op resume op-mf2a7c4kq3xe")
@click.argument("operation", metavar="ID")
@click.option("--take-over", is_flag=True, help="from here, if the machine that ran it does not answer")
@click.pass_obj
def resume_(flags: Flags, operation: str, *, take_over: bool) -> Answer:
    """Carry on with a stuck operation, until it is done or taken back."""
    flags.take_over = flags.take_over or take_over
    return answer(resume(wire.OpResume(operation), flags))


@command("abort", example="ployzctl op abort op-mf2a7c4kq3xe")
@click.argument("operation", metavar="ID")
@click.pass_obj
def abort_(flags: Flags, operation: str) -> Answer:
    """Take a running operation back. Refused once it is committed."""
    return Answer(abort(wire.OpAbort(operation), flags), lambda _: f"{operation} is taken back.")


for one in (ls, show, resume_, abort_):
    op.add_command(one)
