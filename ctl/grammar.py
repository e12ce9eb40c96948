"""How commands are written down: with an example each, flags anywhere, imported only when they are wanted."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar

import click

from ctl.flags import Flags, everywhere, of_mutations, said_of_mutations
from ctl.show import Answer
from daemon.wire import Success

Callback = Callable[..., Answer]
Section = tuple[str, tuple[str, ...]]


G = TypeVar("G", bound="Group")


class UnknownCommand(click.UsageError):
    """There is no command of that `name`; `known` are those that there are."""

    def __init__(self, ctx: click.Context, name: str, known: list[str]) -> None:
        super().__init__(f"there is no command {name}", ctx)
        self.name, self.known = name, known


class HelpAsked(Exception):
    """Help was asked for instead of what the command does; `answer` holds it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.answer = help_answer(text)


def help_answer(text: str) -> Answer:
    return Answer(Success("help", {"text": text}), lambda _: text)


class Command(click.Command):
    """A command with an `example`; one that `changes` something takes the flags of mutations."""

    example = ""
    changes = False
    own: tuple[click.Parameter, ...] = ()

    def invoke(self, ctx: click.Context) -> Any:
        flags = ctx.ensure_object(Flags)
        taken = {option for parameter in self.own for option in parameter.opts}
        for said in [] if self.changes else said_of_mutations(flags):
            if said not in taken:
                raise click.UsageError(f"{said} is for commands that change something, and this one does not", ctx)
        if flags.socket and flags.context:
            raise click.UsageError("--socket and --context name two daemons", ctx)
        return super().invoke(ctx)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        words = [*ctx.command_path.split(), "[FLAGS]", *_usage(self.own)]
        formatter.write_usage(words[0], " ".join(words[1:]))

    def format_options(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        _options("Options", self.own, formatter)
        if self.changes:
            _options("Flags of every change", of_mutations(), formatter)
        _options("Flags of every command, also before its name", everywhere(), formatter)

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Example"):
            formatter.write_text(self.example)


def command(name: str, *, example: str, changes: bool = False) -> Callable[[Callback], Command]:
    """Make a function a command. Its docstring is the help; its example is one line that works as it is."""

    def made(callback: Callback) -> Command:
        one = click.command(name, cls=Command, add_help_option=False)(callback)
        one.example, one.changes, one.own = example, changes, tuple(one.params)
        taken = {parameter.name for parameter in one.own}
        flags = [*everywhere(), *of_mutations(), _help()]
        one.params += [flag for flag in flags if flag.name not in taken]
        return one

    return made


class Group(click.Group):
    """Commands by name. `lazy` maps a name to `<module of ctl.commands>:<attribute>` and a sentence for the list."""

    lazy: Mapping[str, tuple[str, str]] = {}
    sections: tuple[Section, ...] = ()

    def list_commands(self, _: click.Context) -> list[str]:
        return [*self.lazy, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        found = getattr(import_module(f"ctl.commands.{module}"), attribute)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if found := self.get_command(ctx, args[0]):
            return args[0], found, args[1:]
        raise UnknownCommand(ctx, args[0], self.list_commands(ctx))

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[FLAGS] COMMAND …")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in self.sections or (("Commands", tuple(self.list_commands(ctx))),):
            with formatter.section(title):
                formatter.write_dl([(name, self._sentence(ctx, name)) for name in names])
        _options("Flags of every command, also after its name", everywhere(), formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write_text(f"`ployzctl help {_below(ctx)}COMMAND` shows a command's flags and an example.")

    def _sentence(self, ctx: click.Context, name: str) -> str:
        if name in self.lazy:
            return self.lazy[name][1]
        found = self.get_command(ctx, name)
        return found.get_short_help_str(80) if found else ""


class Applied(Group):
    """`X preview …` is `X apply --preview …`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, ["apply", "--preview", *args[1:]] if args[0] == "preview" else args)


def group(kind: type[G], name: str | None, says: str) -> G:
    """A group of commands without a behaviour of its own, but for flags."""
    made = kind(name, help=says, add_help_option=False, no_args_is_help=False)
    made.params += [*everywhere(), *of_mutations(), _help()]
    return made


def _help() -> click.Option:
    return click.Option(["-h", "--help"], is_flag=True, is_eager=True, expose_value=False, callback=_show_help)


def _show_help(ctx: click.Context, _: click.Parameter, asked: bool) -> None:  # noqa: FBT001
    if asked:
        raise HelpAsked(ctx.get_help())


def _below(ctx: click.Context) -> str:
    return "".join(f"{word} " for word in ctx.command_path.split()[1:])


def _usage(parameters: Sequence[click.Parameter]) -> list[str]:
    words = []
    for parameter in parameters:
        if isinstance(parameter, click.Option) and parameter.required:
            words.append(f"{parameter.opts[0]} {parameter.metavar}")
        elif isinstance(parameter, click.Argument) and parameter.metavar:
            words.append(parameter.metavar)
    return words


def _options(title: str, parameters: Sequence[click.Parameter], formatter: click.HelpFormatter) -> None:
    records = [
        (f"{', '.join(one.opts)}{'' if one.is_flag else f' {one.metavar}'}", one.help or "")
        for one in parameters
        if isinstance(one, click.Option)
    ]
    if records:
        with formatter.section(title):
            formatter.write_dl(records)
