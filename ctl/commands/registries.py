"""Registries of images that the cluster is somebody at."""

import click

from ctl.ask import look, mutate
from ctl.commands.given import line
from ctl.flags import Flags
from ctl.grammar import Group, command, group
from ctl.show import Answer, answer
from daemon import wire

registry = group(Group, "registry", "Log in to registries of images, and out.")


@command("login", example="ployzctl registry login registry.example.com --user shop < token", changes=True)
@click.argument("host", metavar="HOST")
@click.option("--user", metavar="NAME", required=True, help="who to be there")
@click.pass_obj
def login(flags: Flags, host: str, user: str) -> Answer:
    """Have the cluster be somebody at a registry whenever it pulls an image.

    The password is read from stdin, or from the terminal without showing it. The registry is asked first.
    """
    return answer(mutate(wire.RegistryLogin(host, user, line(f"password of {user} at {host}")), flags))


@command("logout", example="ployzctl registry logout registry.example.com", changes=True)
@click.argument("host", metavar="HOST")
@click.pass_obj
def logout(flags: Flags, host: str) -> Answer:
    """Forget who the cluster is at a registry."""
    return answer(mutate(wire.RegistryLogout(host), flags))


@command("ls", example="ployzctl registry ls")
@click.pass_obj
def ls(flags: Flags) -> Answer:
    """List the registries that the cluster is somebody at; passwords are never shown."""
    return answer(look(wire.RegistryLs(), flags))


for one in (login, logout, ls):
    registry.add_command(one)
