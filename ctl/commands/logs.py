"""Show what a service wrote, as text while it comes, or as one document."""

import zlib
from collections.abc import Callable
from typing import Any

import click
import msgspec

from ctl.ask import look
from ctl.commands.names import service_name
from ctl.flags import Count, Flags
from ctl.grammar import command
from ctl.listen import Failed
from ctl.show import Answer, answer, json_line, out_style, write_line
from ctl.style import Style
from daemon.wire import Logs, Output, Success

PALETTE = (Style.cyan, Style.green, Style.yellow, Style.bold)


@command("logs", example="ployzctl logs shop/web -f --since 10m")
@click.argument("service", metavar="NS/SERVICE", callback=service_name)
@click.option("-f", "--follow", is_flag=True, help="go on with what is written from now on, until Ctrl-C")
@click.option("--since", metavar="T", help="a time (RFC 3339) or a duration such as 10m")
@click.option("--tail", metavar="N", type=Count(min=0), help="only the last N lines")
@click.pass_obj
def logs(flags: Flags, service: tuple[str, str], since: str | None, tail: int | None, *, follow: bool) -> Answer:
    """Show what the instances of a service wrote."""
    lines: list[dict[str, Any]] = []
    try:
        success = look(Logs(*service, follow, since, tail), flags, _output(flags, lines))
    except Failed as failed:
        if not follow or failed.failure.error.code != "interrupted":
            raise
        success = Success("logs", {})
    return answer(msgspec.structs.replace(success, result={**success.result, "lines": lines}))


def _output(flags: Flags, lines: list[dict[str, Any]]) -> Callable[[Output], None]:
    if flags.events:
        return lambda line: json_line(_as_json(line))
    if flags.json:
        return lambda line: lines.append(_as_json(line))
    style = out_style()
    return lambda line: write_line(_as_text(line, style))


def _as_json(line: Output) -> dict[str, Any]:
    return {"instance": line.instance, "at": line.at, "stream": line.stream, "text": _text(line)}


def _as_text(line: Output, style: Style) -> str:
    paint = PALETTE[zlib.crc32(line.instance.encode()) % len(PALETTE)]
    mark = f"{paint(style, line.instance)} {style.dim('│')} " if line.instance else ""
    return mark + _text(line)


def _text(line: Output) -> str:
    return line.data.decode(errors="replace").removesuffix("\n").removesuffix("\r")
