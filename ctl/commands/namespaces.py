"""Namespaces: list them, look into one, remove one."""

import click

from ctl.ask import look, mutate
from ctl.flags import Flags
from ctl.grammar import Group, command, group
from ctl.question import require_typed
from ctl.show import Answer, answer
from daemon import wire

namespace = group(Group, "namespace", "List namespaces, look into one, or remove it.")


@command("ls", example="ployzctl namespace ls")
@click.pass_obj
def ls(flags: Flags) -> Answer:
    """List the namespaces, and those that were removed and whose data is kept."""
    return answer(look(wire.NamespaceLs(), flags))


@command("inspect", example="ployzctl namespace inspect shop")
@click.argument("name", metavar="NS")
@click.pass_obj
def inspect(flags: Flags, name: str) -> Answer:
    """Show everything about a namespace: services, volumes, what is kept of it, deploy points."""
    return answer(look(wire.NamespaceInspect(name), flags))


@command("rm", example="ployzctl namespace rm shop", changes=True)
@click.argument("name", metavar="NS")
@click.option("--purge", is_flag=True, help="destroy its data and secrets too, with all its deploy points")
@click.pass_obj
def rm(flags: Flags, name: str, *, purge: bool) -> Answer:
    """Remove a namespace. Its data is kept, and `ployzctl rollback NS` brings all of it back."""
    if purge:
        question = f"All data and secrets of {name} are destroyed, with every deploy point; nothing brings them back."
        require_typed(name, question, f"cannot purge {name}", flags)
    return answer(mutate(wire.NamespaceRm(name, purge), flags))


for one in (ls, inspect, rm):
    namespace.add_command(one)
