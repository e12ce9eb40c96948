"""Images: who has which, and having them elsewhere."""

import click

from ctl.ask import look, mutate
from ctl.flags import Flags
from ctl.grammar import Group, command, group
from ctl.show import Answer, answer
from daemon import wire

image = group(Group, "image", "List the machines' images, and bring them to other machines.")


@command("ls", example="ployzctl image ls m2")
@click.argument("machine", metavar="[M]", required=False)
@click.pass_obj
def ls(flags: Flags, machine: str | None) -> Answer:
    """List the images of one machine, or of all."""
    return answer(look(wire.ImageLs(machine), flags))


@command("push", example="ployzctl image push shop/web:2 --to m2", changes=True)
@click.argument("name", metavar="IMAGE")
@click.option("--to", metavar="M", multiple=True, required=True, help="a machine; again for each further one")
@click.pass_obj
def push(flags: Flags, name: str, to: tuple[str, ...]) -> Answer:
    """Bring an image to the machines that are named. Only layers that they lack travel."""
    return answer(mutate(wire.ImageDistribute(name, list(to)), flags))


@command("distribute", example="ployzctl image distribute shop/web:2", changes=True)
@click.argument("name", metavar="IMAGE")
@click.option("--to", metavar="M", multiple=True, help="only to this machine; again for each further one")
@click.pass_obj
def distribute(flags: Flags, name: str, to: tuple[str, ...]) -> Answer:
    """Bring an image to all machines that answer. Only layers that they lack travel."""
    return answer(mutate(wire.ImageDistribute(name, list(to)), flags))


for one in (ls, push, distribute):
    image.add_command(one)
