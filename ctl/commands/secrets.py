"""Secrets of a namespace: set from stdin, listed without their values, removed; all of them sealed anew."""

import click

from ctl.ask import look, mutate
from ctl.commands.given import line
from ctl.commands.names import secret_name
from ctl.flags import Flags
from ctl.grammar import Group, command, group
from ctl.listen import Failed
from ctl.show import Answer, answer
from daemon import wire
from daemon.wire import LARGEST_SECRET, Failure, Refused

secret = group(Group, "secret", "Set, list and remove the secrets of a namespace; seal all of them anew.")


@command("set", example="ployzctl secret set shop/POSTGRES_PASSWORD < password", changes=True)
@click.argument("name", metavar="NS/NAME", callback=secret_name)
@click.pass_obj
def set_(flags: Flags, name: tuple[str, str]) -> Answer:
    """Give a secret a new version, read from stdin, or from the terminal without showing it.

    A single line loses the newline at its end; anything else is taken as it is, to the byte.
    """
    return answer(mutate(wire.SecretSet(*name, _value("/".join(name))), flags))


@command("ls", example="ployzctl secret ls shop")
@click.argument("namespace", metavar="NS")
@click.pass_obj
def ls(flags: Flags, namespace: str) -> Answer:
    """List the secrets of a namespace; their values are never shown."""
    return answer(look(wire.SecretLs(namespace), flags))


@command("rm", example="ployzctl secret rm shop/POSTGRES_PASSWORD", changes=True)
@click.argument("name", metavar="NS/NAME", callback=secret_name)
@click.pass_obj
def rm(flags: Flags, name: tuple[str, str]) -> Answer:
    """Remove a secret that nothing uses. What deploy points name of it is kept for them."""
    return answer(mutate(wire.SecretRm(*name), flags))


@command("rotate", example="ployzctl secret rotate", changes=True)
@click.pass_obj
def rotate(flags: Flags) -> Answer:
    """Seal all secrets, and passwords at registries, for exactly the machines that there are. No value changes."""
    return answer(mutate(wire.SecretRotate(), flags))


def _value(where: str) -> bytes:
    """Raises Failed `secret.empty` and `secret.too_large`."""
    value = line(where)
    cannot = f"cannot set the secret {where}"
    if not value:
        raise _refused(Refused("secret.empty", cannot, "its value is empty", "a value on stdin"))
    if len(value) > LARGEST_SECRET:
        why = f"it has more than {LARGEST_SECRET // 1024} KiB"
        raise _refused(Refused("secret.too_large", cannot, why, "a volume, or an image, for what is large"))
    return value


def _refused(problem: Refused) -> Failed:
    return Failed(Failure(problem.error), changes=True)


for one in (set_, ls, rm, rotate):
    secret.add_command(one)
