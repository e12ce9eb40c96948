"""Clusters on this machine: made for trying things out and for tests, removed without a trace."""

from collections.abc import Callable
from typing import Literal

import click
import msgspec

from ctl import contexts, local
from ctl.flags import Count, Flags
from ctl.grammar import Group, command, group
from ctl.lines import read
from ctl.show import Answer, Screen, answer
from ctl.texts.local import Clusters
from daemon.wire import DevCluster, DevDown, DevLs, DevRequest, DevUp, Machine, Refused, Success

dev = group(Group, "dev", "Make and remove clusters on this machine.")


def named(callback: Callable[..., Answer]) -> Callable[..., Answer]:
    return click.option("--name", metavar="NAME", default="dev", help="which cluster; default: dev")(callback)


@command("up", example="ployzctl dev up --machines 1")
@click.option("--machines", metavar="N", type=Count(min=1), default=1, help="how many; default: 1")
@click.option(
    "--driver", type=click.Choice(["namespace", "docker"]), default="namespace", help="how they are kept apart"
)
@named
@click.pass_obj
def up(flags: Flags, machines: int, driver: Literal["namespace", "docker"], name: str) -> Answer:
    """Make a cluster of machines on this one, and use it from now on."""
    success = _ask(DevUp(name, machines, driver), flags)
    cluster = read(success.result, DevCluster)
    if cluster.machines:
        contexts.write(contexts.read().with_context(name, cluster.machines[0].socket).using(name))
    return answer(success)


@command("down", example="ployzctl dev down")
@named
@click.pass_obj
def down(flags: Flags, name: str) -> Answer:
    """Remove such a cluster, with everything that it holds."""
    success = _ask(DevDown(name), flags)
    gone = {machine.socket for machine in read(success.result, DevCluster).machines}
    known = contexts.read()
    if name in known.contexts and (not gone or known.contexts[name].socket in gone):
        contexts.write(known.without(name))
    return Answer(success, lambda _: f"The cluster {name} is gone, with everything that it held.")


@command("ls", example="ployzctl dev ls")
@click.option("--name", metavar="NAME", help="only that cluster")
@click.pass_obj
def ls(flags: Flags, name: str | None) -> Answer:
    """List the clusters on this machine."""
    success = _ask(DevLs(), flags)
    wanted = [one for one in read(success.result, Clusters).clusters if name in (None, one.name)]
    return answer(msgspec.structs.replace(success, result={"clusters": msgspec.to_builtins(wanted)}))


@command("env", example='eval "$(ployzctl dev env m1)"')
@click.argument("machine", metavar="MACHINE")
@named
@click.pass_obj
def env(flags: Flags, machine: str, name: str) -> Answer:
    """Print the variables that point ployzctl at one machine, for a shell to evaluate."""
    found = _machine(_ask(DevLs(), flags), name, machine)
    return answer(Success("environment", {"variables": {"PLOYZ_SOCKET": found.socket}}))


def _ask(request: DevRequest, flags: Flags) -> Success:
    return local.ask(request, Screen(json=flags.json, events=flags.events))


def _machine(listed: Success, name: str, machine: str) -> Machine:
    what = f"cannot point at {machine}"
    known = {one.name: one for one in read(listed.result, Clusters).clusters}
    if name not in known:
        raise Refused("dev.missing", what, f"there is no local cluster {name}", "ployzctl dev up")
    machines = {one.name: one for one in known[name].machines}
    if machine not in machines:
        raise Refused("dev.missing", what, f"{name} has the machines {', '.join(machines)}", "ployzctl dev ls")
    return machines[machine]


for one in (up, down, ls, env):
    dev.add_command(one)
