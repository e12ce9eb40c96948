"""The flags that every command understands, before and after its name, and those of every mutation."""

from dataclasses import dataclass
from typing import Any

import click

from ctl.quantities import count
from daemon.wire import How


class Count(click.IntRange):
    name = "whole number"


class Seconds(click.FloatRange):
    name = "number of seconds"


class Rate(click.ParamType[int]):
    """Bytes a second, such as `20MiB/s`."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        bytes = value if isinstance(value, int) else count(str(value).removesuffix("/s"))
        return bytes or self.fail(f"{value} is no rate, such as 20MiB/s", param, ctx)


@dataclass
class Flags:
    """What was said on the command line; `wait` and `timeout` in seconds."""

    json: bool = False
    events: bool = False
    context: str | None = None
    socket: str | None = None
    preview: bool = False
    op_id: str | None = None
    wait: float = 0.0
    take_over: bool = False
    expect: int | None = None
    yes: bool = False
    timeout: float | None = None

    def how(self) -> How:
        """How a mutation is to be carried out."""
        return How(self.preview, self.op_id, self.wait, self.take_over, self.expect, self.timeout)


def everywhere() -> list[click.Option]:
    return [
        _switch("--json", "exactly one JSON document on stdout, and nothing else"),
        _switch("--events", "like --json, with one JSON event a line before it"),
        _value("--context", "NAME", str, "the daemon of that context (PLOYZ_CONTEXT)"),
        _value("--socket", "PATH", str, "the daemon that listens there (PLOYZ_SOCKET)"),
    ]


def of_mutations() -> list[click.Option]:
    seconds = Seconds(min=0)
    return [
        _switch("--preview", "show the plan and do nothing"),
        _value("--op-id", "ID", str, "the operation's id: the same id again is the same operation"),
        _value("--wait", "SECONDS", seconds, "how long to wait for another operation's claim"),
        _switch("--take-over", "take the claim of a machine that is gone"),
        _value("--expect", "DEPLOY", Count(min=0), "refuse unless the namespace is at this deploy"),
        _switch("--yes", "ask no question"),
        _value("--timeout", "SECONDS", seconds, "take it back if it is not committed by then"),
    ]


def said_of_mutations(flags: Flags) -> list[str]:
    """The flags of mutations that were given."""
    unsaid = Flags()
    names = [option.name for option in of_mutations() if option.name]
    return ["--" + name.replace("_", "-") for name in names if getattr(flags, name) != getattr(unsaid, name)]


def _switch(name: str, says: str) -> click.Option:
    return click.Option([name], is_flag=True, default=None, expose_value=False, callback=_remember, help=says)


def _value(name: str, metavar: str, kind: Any, says: str) -> click.Option:
    return click.Option([name], metavar=metavar, type=kind, expose_value=False, callback=_remember, help=says)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    flags = context.find_object(Flags)
    if flags and parameter.name and value is not None:
        setattr(flags, parameter.name, value)
