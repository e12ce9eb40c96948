"""Wrong usage as a failure like any other: cannot, because, try the nearest name."""

import difflib
import shlex
from collections.abc import Iterable

import click

from ctl.flags import everywhere, of_mutations
from ctl.grammar import Command, UnknownCommand
from ctl.show import USAGE
from daemon.wire import Error, Failure


def failure(error: click.UsageError) -> Failure:
    """The failure that a usage error of click stands for."""
    asked = " ".join(error.ctx.command_path.split()) if error.ctx else "ployzctl"
    why, hint = _reason(error, asked)
    return Failure(Error(USAGE, "error", f"cannot run `{asked}`", why, hint))


def _reason(error: click.UsageError, asked: str) -> tuple[str, str]:
    at_hand = error.ctx.command if error.ctx else None
    help_of = f"ployzctl help{asked.removeprefix('ployzctl')}"
    if isinstance(error, UnknownCommand):
        near = nearest(error.name, error.known)
        return error.message, f"{asked} {near}" if near else help_of
    if isinstance(error, click.NoSuchOption):
        near = nearest(error.option_name.lstrip("-"), _options(error.ctx))  # the dashes alone are no likeness
        return f"it has no option {error.option_name}", f"{asked} --{near}" if near else help_of
    if isinstance(error, click.MissingParameter) and error.param:
        return f"{_name(error.param)} is missing", help_of
    if isinstance(error, click.BadParameter) and error.param:
        return f"{_name(error.param)}: {_sentence(error.message)}", help_of
    if isinstance(at_hand, click.Group):
        return "it needs the name of a command", help_of
    return _sentence(error.format_message()), help_of


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return shlex.quote(close[0]) if close else None


def _options(ctx: click.Context | None) -> list[str]:
    """The long options that the command at hand understands, without their dashes."""
    at_hand, parameters = ctx.command if ctx else None, list[click.Parameter](everywhere())
    if isinstance(at_hand, Command):
        parameters += [*at_hand.own, *(of_mutations() if at_hand.changes else [])]
    options = [option for option in parameters if isinstance(option, click.Option)]
    return [name.removeprefix("--") for option in options for name in option.opts if name.startswith("--")]


def _name(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    return str(parameter.metavar)


def _sentence(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")
