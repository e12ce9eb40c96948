"""Look at the cluster: its status, and the instances."""

import click

from ctl.ask import look
from ctl.flags import Flags
from ctl.grammar import command
from ctl.show import Answer, answer
from daemon import wire


@command("status", example="ployzctl status")
@click.pass_obj
def status(flags: Flags) -> Answer:
    """Show the cluster in one screen: machines, store, services, pools, operations."""
    return answer(look(wire.Status(), flags))


@command("ps", example="ployzctl ps shop")
@click.argument("namespace", metavar="[NS]", required=False)
@click.pass_obj
def ps(flags: Flags, namespace: str | None) -> Answer:
    """List the instances of a namespace, or of all."""
    return answer(look(wire.Ps(namespace), flags))
