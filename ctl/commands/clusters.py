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
from daemon.wire import (
    DevCluster,
    DevDown,
    DevHeal,
    DevKill,
    DevLs,
    DevMachine,
    DevPart,
    DevPause,
    DevRequest,
    DevResume,
    DevUp,
    Refused,
    Success,
)

dev = group(Group, "dev", "Make, mistreat and remove clusters on this machine.")


def named(callback: Callable[..., Answer]) -> Callable[..., Answer]:
    return click.option("--name", metavar="NAME", default="dev", help="which cluster; default: dev")(callback)


@command("up", example="ployzctl dev up --machines 3")
@click.option("--machines", metavar="N", type=Count(min=1), help="how many; default: as there are, or 1")
@click.option(
    "--driver", type=click.Choice(["namespace", "docker"]), default="namespace", help="how they are kept apart"
)
@named
@click.pass_obj
def up(flags: Flags, machines: int | None, driver: Literal["namespace", "docker"], name: str) -> Answer:
    """Make a cluster of machines on this one, or add machines to it, start what is off, and use it from now on."""
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


@command("kill", example="ployzctl dev kill m2")
@click.argument("machine", metavar="MACHINE")
@named
@click.pass_obj
def kill(flags: Flags, machine: str, name: str) -> Answer:
    """Pull a machine's plug. Bringing the cluster up starts it again from its disk."""
    return answer(_ask(DevKill(machine, name), flags))


@command("pause", example="ployzctl dev pause m2")
@click.argument("machine", metavar="MACHINE")
@named
@click.pass_obj
def pause(flags: Flags, machine: str, name: str) -> Answer:
    """Hold everything in a machine still."""
    return answer(_ask(DevPause(machine, name), flags))


@command("resume", example="ployzctl dev resume m2")
@click.argument("machine", metavar="MACHINE")
@named
@click.pass_obj
def resume(flags: Flags, machine: str, name: str) -> Answer:
    """Let a paused machine go on."""
    return answer(_ask(DevResume(machine, name), flags))


@command("part", example="ployzctl dev part m1 m2 --loss 20")
@click.argument("machines", metavar="MACHINE…", nargs=-1, required=True)
@click.option("--loss", metavar="PERCENT", type=Count(min=1, max=100), default=100, help="how much; default: 100")
@click.option("--one-way", is_flag=True, help="only of what these machines send")
@named
@click.pass_obj
def part(flags: Flags, machines: tuple[str, ...], loss: int, name: str, *, one_way: bool) -> Answer:
    """Lose what goes between these machines and all others."""
    return answer(_ask(DevPart(list(machines), loss, one_way=one_way, name=name), flags))


@command("heal", example="ployzctl dev heal")
@named
@click.pass_obj
def heal(flags: Flags, name: str) -> Answer:
    """End all partings and pauses."""
    return answer(_ask(DevHeal(name), flags))


def _ask(request: DevRequest, flags: Flags) -> Success:
    return local.ask(request, Screen(json=flags.json, events=flags.events))


def _machine(listed: Success, name: str, machine: str) -> DevMachine:
    what = f"cannot point at {machine}"
    known = {one.name: one for one in read(listed.result, Clusters).clusters}
    if name not in known:
        raise Refused("dev.missing", what, f"there is no local cluster {name}", "ployzctl dev up")
    machines = {one.name: one for one in known[name].machines}
    if machine not in machines:
        raise Refused("dev.missing", what, f"{name} has the machines {', '.join(machines)}", "ployzctl dev ls")
    return machines[machine]


for one in (up, down, ls, env, kill, pause, resume, part, heal):
    dev.add_command(one)
