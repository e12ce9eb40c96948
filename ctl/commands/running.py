"""Change what runs of a service: restart, stop, start and scale it."""

import click

from ctl.ask import mutate
from ctl.commands.names import service_name
from ctl.flags import Count, Flags
from ctl.grammar import command
from ctl.show import Answer, answer
from daemon.wire import Restart, Scale, Start, Stop


@command("restart", example="ployzctl restart shop/web", changes=True)
@click.argument("service", metavar="NS/SERVICE", callback=service_name)
@click.pass_obj
def restart(flags: Flags, service: tuple[str, str]) -> Answer:
    """Replace a service's instances by new ones, as a new deploy."""
    return answer(mutate(Restart(*service), flags))


@command("stop", example="ployzctl stop shop/web", changes=True)
@click.argument("service", metavar="NS/SERVICE", callback=service_name)
@click.pass_obj
def stop(flags: Flags, service: tuple[str, str]) -> Answer:
    """Have no instances of a service until it is started, as a new deploy; its data stays."""
    return answer(mutate(Stop(*service), flags))


@command("start", example="ployzctl start shop/web", changes=True)
@click.argument("service", metavar="NS/SERVICE", callback=service_name)
@click.pass_obj
def start(flags: Flags, service: tuple[str, str]) -> Answer:
    """Have a stopped service's instances again, as a new deploy."""
    return answer(mutate(Start(*service), flags))


@command("scale", example="ployzctl scale shop/web 3", changes=True)
@click.argument("service", metavar="NS/SERVICE", callback=service_name)
@click.argument("replicas", metavar="N", type=Count(min=1))
@click.pass_obj
def scale(flags: Flags, service: tuple[str, str], replicas: int) -> Answer:
    """Give a service another number of instances, as a new deploy; its manifest says so from then on."""
    return answer(mutate(Scale(*service, replicas), flags))
