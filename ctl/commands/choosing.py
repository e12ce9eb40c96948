"""Contexts: the daemons that are known by name, and which one is asked."""

import click

from ctl import contexts
from ctl.contexts import Contexts
from ctl.flags import Flags
from ctl.grammar import Group, command, group
from ctl.show import Answer, answer
from daemon.wire import Refused, Success

context = group(Group, "context", "Choose which daemon is asked.")


@command("ls", example="ployzctl context ls")
def ls() -> Answer:
    """List the contexts, with a mark at the one in use."""
    return _listed(contexts.read())


@command("add", example="ployzctl context add home --socket /run/ployz/ployzd.sock")
@click.argument("name", metavar="NAME")
@click.pass_obj
def add(flags: Flags, name: str) -> Answer:
    """Add the daemon that listens at --socket PATH under a name."""
    if not flags.socket:
        raise click.UsageError("--socket PATH is missing", click.get_current_context())
    known = contexts.read()
    if name in known.contexts:
        why = f"there is one already, for {known.contexts[name].socket}"
        raise Refused("context.exists", f"cannot add the context {name}", why, f"ployzctl context rm {name}")
    return _kept(known.with_context(name, flags.socket))


@command("use", example="ployzctl context use home")
@click.argument("name", metavar="NAME")
def use(name: str) -> Answer:
    """Ask the daemon of that context from now on."""
    known = contexts.read()
    known.named(name, f"use {name}")
    return _kept(known.using(name))


@command("rm", example="ployzctl context rm home")
@click.argument("name", metavar="NAME")
def rm(name: str) -> Answer:
    """Forget a context; the daemon is not touched."""
    known = contexts.read()
    known.named(name, f"remove {name}")
    return _kept(known.without(name))


def _kept(changed: Contexts) -> Answer:
    contexts.write(changed)
    return _listed(changed)


def _listed(known: Contexts) -> Answer:
    rows = [
        {"name": name, "socket": one.socket, "current": name == known.current}
        for name, one in sorted(known.contexts.items())
    ]
    return answer(Success("contexts", {"contexts": rows}))


for one in (ls, add, use, rm):
    context.add_command(one)
