"""Moving a service to another machine, with its data."""

import click

from ctl.ask import mutate
from ctl.commands.names import service_name
from ctl.flags import Flags, Rate
from ctl.grammar import Applied, command, group
from ctl.show import Answer, answer
from daemon.wire import Migrate


@command("apply", example="ployzctl migrate apply shop/db --to m2 --rate 20MiB/s", changes=True)
@click.argument("service", metavar="NS/SERVICE", callback=service_name)
@click.option("--to", metavar="MACHINE", required=True, help="the machine that it is to run on")
@click.option("--rate", metavar="SIZE/s", type=Rate(), help="the most that is sent of its data, such as 20MiB/s")
@click.pass_obj
def apply(flags: Flags, service: tuple[str, str], to: str, rate: int | None) -> Answer:
    """Move a service's instances and volumes to another machine.

    Its data is copied while it runs; it is down for the last of it only. `ployzctl migrate preview NS/SERVICE --to
    MACHINE` only shows what would be done.
    """
    return answer(mutate(Migrate(*service, to, rate), flags))


migrate = group(Applied, "migrate", "Move a service to another machine, with its data.")
migrate.add_command(apply)
