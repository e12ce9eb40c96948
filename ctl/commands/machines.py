"""The machines of a cluster and their mesh: founding one, letting machines in, joining, looking."""

import sys
from dataclasses import replace

import click
from msgspec.structs import replace as replace_struct

from ctl.ask import look, mutate, returning
from ctl.commands.given import line
from ctl.flags import Count, Flags
from ctl.grammar import Group, command, group
from ctl.lines import read
from ctl.question import require_typed
from ctl.show import Answer, Screen, answer, err_style, tell
from daemon import wire

mesh = group(Group, "mesh", "Found a mesh, look at it, or leave it.")
machine = group(Group, "machine", "Add machines, invite them, list them, drain one, or remove it.")


@command("init", example="ployzctl mesh init prod --endpoint 203.0.113.5:51820", changes=True)
@click.argument("network", metavar="NETWORK")
@click.option("--cluster-cidr", metavar="CIDR", help="the network that all of it lives in; default: 10.210.0.0/16")
@click.option("--endpoint", metavar="HOST:PORT", help="where others reach this machine; default: its own address")
@click.pass_obj
def init(flags: Flags, network: str, cluster_cidr: str | None, endpoint: str | None) -> Answer:
    """Make this machine the first of a mesh that others can be invited to."""
    return answer(returning(wire.MeshInit(network, cluster_cidr, endpoint), flags))


@command("status", example="ployzctl mesh status")
@click.pass_obj
def status(flags: Flags) -> Answer:
    """Show the other machines as this one's interface has them."""
    return answer(look(wire.MeshStatus(), flags))


@command("destroy", example="ployzctl mesh destroy", changes=True)
@click.option("--force", is_flag=True, help="leave a mesh that has other machines, without a word to them")
@click.pass_obj
def destroy(flags: Flags, *, force: bool) -> Answer:
    """Make this machine, the last of its mesh, a cluster of its own again."""
    return answer(returning(wire.MeshDestroy(force), flags))


@command("invite", example="ployzctl machine invite --name m2", changes=True)
@click.option("--ttl", metavar="SECONDS", type=Count(min=1), default=600, help="how long it is open; default: 600")
@click.option("--name", metavar="NAME", help="what the machine will be called; default: what it is called there")
@click.option("--qr", is_flag=True, help="draw the token, to be read by a camera")
@click.pass_obj
def invite(flags: Flags, ttl: int, name: str | None, *, qr: bool) -> Answer:
    """Let one machine in, and print the token with which it joins."""
    success = mutate(wire.MachineInvite(ttl, name), flags)
    return answer(success) if not qr or success.kind != "invitation" else _drawn(success)


def _drawn(success: wire.Success) -> Answer:
    from ctl.drawing import drawn

    plain = answer(success)
    return Answer(success, lambda style: f"{drawn(success.result['token'])}\n{plain.text(style)}")


@command("add", example="ployzctl machine add root@203.0.113.7 --name m2", changes=True)
@click.argument("hosts", metavar="[USER@]HOST…", nargs=-1, required=True)
@click.option("--name", metavar="NAME", help="what it will be called; default: what it is called there")
@click.option("--network", metavar="NETWORK", help="only if the machine that is asked is in that mesh")
@click.option("--identity", metavar="FILE", help="the key to log in with; default: as ssh finds it")
@click.pass_obj
def add(flags: Flags, hosts: tuple[str, ...], name: str | None, network: str | None, identity: str | None) -> Answer:
    """Install ployz on other hosts over ssh, where it is missing, and have them join."""
    from ctl import adding, newcomer, ssh  # nobody else needs them

    if len(hosts) > 1 and (name or flags.op_id):
        raise click.UsageError("--name and --op-id are for one host", click.get_current_context())
    if network:
        _require_network(network, flags)
    newcomers = [newcomer.look(ssh.Host(host, identity)) for host in hosts]
    if flags.preview:
        return answer(adding.preview(newcomers, name))
    progress = Screen(json=flags.json, events=flags.events).progress()
    return answer(adding.add(newcomers, name, flags, progress))


def _require_network(network: str, flags: Flags) -> None:
    there = look(wire.Status(), flags).result["store"].get("cluster", "")
    if there != network:
        why = f"the machine that is asked is in {there}"
        raise wire.Refused(
            "mesh.other", f"cannot add machines to {network}", why, "--context, of a machine of that mesh"
        )


@command("revoke", example="ployzctl machine revoke op-aaaaaaaaaaaa", changes=True)
@click.argument("invitation", metavar="INVITATION")
@click.pass_obj
def revoke(flags: Flags, invitation: str) -> Answer:
    """Let nobody in any more by an invitation that nobody came by."""
    return answer(mutate(wire.MachineRevoke(invitation), flags))


@command("join", example="ployzctl join ployz-1-…", changes=True)
@click.argument("token", metavar="TOKEN")
@click.option("--name", metavar="NAME", help="what this machine will be called there; default: what it is called here")
@click.option("--endpoint", metavar="HOST:PORT", help="where others reach this machine; default: its own address")
@click.pass_obj
def join(flags: Flags, token: str, name: str | None, endpoint: str | None) -> Answer:
    """Make this machine, which has nothing of its own, one of the mesh that the token (- is stdin) is from."""
    said = line("token").decode(errors="replace") if token == "-" else token
    return answer(returning(wire.Join(said, name, endpoint), flags))


def _listed(request: wire.Mutation, flags: Flags) -> None:
    """A person sees first what would be done."""
    if not (flags.json or flags.events or flags.preview):
        shown = mutate(request, replace(flags, preview=True, op_id=None))
        for warning in shown.warnings:
            tell(f"warning: {warning}")
        tell(answer(shown).text(err_style()))


@command("drain", example="ployzctl machine drain m2", changes=True)
@click.argument("name", metavar="MACHINE")
@click.pass_obj
def drain(flags: Flags, name: str) -> Answer:
    """Place nothing new on a machine, and move everything off it, with its data."""
    _listed(wire.MachineDrain(name), flags)
    return answer(mutate(wire.MachineDrain(name), flags))


@command("undrain", example="ployzctl machine undrain m2", changes=True)
@click.argument("name", metavar="MACHINE")
@click.pass_obj
def undrain(flags: Flags, name: str) -> Answer:
    """Let a machine that was drained have something placed on it again."""
    return answer(mutate(wire.MachineUndrain(name), flags))


@command("label", example="ployzctl machine label m2 zone=a", changes=True)
@click.argument("name", metavar="MACHINE")
@click.argument("labels", metavar="NAME=VALUE…", nargs=-1, required=True)
@click.pass_obj
def label(flags: Flags, name: str, labels: tuple[str, ...]) -> Answer:
    """Give a machine labels, by which a manifest's `place` finds it; NAME= takes one away."""
    said = [one.partition("=") for one in labels]
    if wrong := next((one for one, (_, sign, _) in zip(labels, said, strict=True) if not sign), None):
        raise click.UsageError(f"{wrong} is no NAME=VALUE", click.get_current_context())
    return answer(mutate(wire.MachineLabel(name, {one: value for one, _, value in said}), flags))


@command("rm", example="ployzctl machine rm m2", changes=True)
@click.argument("name", metavar="MACHINE")
@click.option("--force", is_flag=True, help="also one that does not answer; it has to be off")
@click.option("--accept-loss", metavar="NS/VOL", multiple=True, help="of which something may be lost with it")
@click.pass_obj
def rm(flags: Flags, name: str, accept_loss: tuple[str, ...], *, force: bool) -> Answer:
    """Move everything off a machine, and take it out of the mesh."""
    request = wire.MachineRm(name, force, accept_loss)
    _listed(request, flags)
    asks = force and not (accept_loss or flags.preview or flags.yes) and sys.stdin.isatty()
    return answer(mutate(_accepting(request, flags) if asks else request, flags))


def _accepting(request: wire.MachineRm, flags: Flags) -> wire.MachineRm:
    """A person types the name of a machine that cannot be fenced; what is lost with it, if anything, is named first."""
    found = read(look(wire.MachineLosses(request.machine), flags).result, wire.Losses)
    if found.reachable:
        return request
    lost = f"It alone has {'; '.join(map(str, found.volumes))}: that is lost."
    lost = lost if found.volumes else "Nothing is known that it alone has."
    question = f"{request.machine} does not answer, and nobody can make sure that it is off: it has to be. {lost}"
    require_typed(request.machine, question, f"cannot remove {request.machine}", flags)
    return replace_struct(request, accept_loss=tuple(f"{one.namespace}/{one.name}" for one in found.volumes))


@command("ls", example="ployzctl machine ls")
@click.pass_obj
def ls(flags: Flags) -> Answer:
    """List the machines."""
    return answer(look(wire.MachineLs(), flags))


@command("inspect", example="ployzctl machine inspect m2")
@click.argument("name", metavar="MACHINE")
@click.pass_obj
def inspect(flags: Flags, name: str) -> Answer:
    """Show one machine: what it has, and what of the cluster is on it."""
    return answer(look(wire.MachineInspect(name), flags))


@command("rtt", example="ployzctl machine rtt")
@click.pass_obj
def rtt(flags: Flags) -> Answer:
    """Measure how long the machines take to answer each other."""
    return answer(look(wire.MachineRtt(), flags))


for one in (init, status, destroy):
    mesh.add_command(one)
for one in (add, invite, revoke, ls, inspect, rtt, drain, undrain, label, rm):
    machine.add_command(one)
