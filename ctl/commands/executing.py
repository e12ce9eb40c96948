"""Run a command in an instance of a service, or in one of its own."""

import sys
from collections.abc import Callable

import click
import msgspec

from ctl.ask import place_of
from ctl.commands.names import service_name
from ctl.execute import execute, size_of_terminal
from ctl.flags import Flags
from ctl.grammar import command
from ctl.lines import read
from ctl.show import Answer, answer, json_line, write_bytes
from daemon.wire import Exec, Output, Refused, Run


class Executed(msgspec.Struct):
    code: int


@command("exec", example="ployzctl exec shop/db -it -- psql -U postgres shop")
@click.argument("service", metavar="NS/SERVICE", callback=service_name)
@click.argument("words", metavar="-- CMD…", nargs=-1, required=True)
@click.option("-i", "--interactive", is_flag=True, help="pass stdin on")
@click.option("-t", "--tty", is_flag=True, help="with a terminal")
@click.pass_obj
def exec_(flags: Flags, service: tuple[str, str], words: tuple[str, ...], *, interactive: bool, tty: bool) -> Answer:
    """Run a command in an instance of a service; its exit code is passed on."""
    return _executed(flags, Exec(*service, list(words), interactive, tty, *size_of_terminal()))


@command("run", example="ployzctl run shop/web -- ./manage migrate")
@click.argument("service", metavar="NS/SERVICE", callback=service_name)
@click.argument("words", metavar="-- CMD…", nargs=-1, required=True)
@click.option("-i", "--interactive", is_flag=True, help="pass stdin on")
@click.option("-t", "--tty", is_flag=True, help="with a terminal")
@click.pass_obj
def run(flags: Flags, service: tuple[str, str], words: tuple[str, ...], *, interactive: bool, tty: bool) -> Answer:
    """Run a command in an instance of its own, as the service has it; its exit code is passed on."""
    return _executed(flags, Run(*service, list(words), interactive, tty, *size_of_terminal()))


def _executed(flags: Flags, request: Exec | Run) -> Answer:
    if request.tty:
        _require_terminal(flags, interactive=request.interactive)
    written: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
    success = execute(request, place_of(flags), _output(flags, written))
    texts = {stream: bytes(data).decode(errors="replace") for stream, data in written.items()} if flags.json else {}
    shown = msgspec.structs.replace(success, result={**success.result, **texts})
    return answer(shown, code=read(success.result, Executed).code)


def _require_terminal(flags: Flags, *, interactive: bool) -> None:
    if flags.json or flags.events:
        raise click.UsageError("--tty is for people, and a JSON document is not", click.get_current_context())
    if interactive and not sys.stdin.isatty():
        why = "stdin is not a terminal, and --tty needs one"
        raise Refused("exec.terminal", "cannot run the command", why, "the same without --tty")


def _output(flags: Flags, written: dict[str, bytearray]) -> Callable[[Output], None]:
    if flags.events:
        return lambda piece: json_line({"stream": piece.stream, "text": piece.data.decode(errors="replace")})
    if flags.json:
        return lambda piece: written[piece.stream].extend(piece.data)
    return lambda piece: write_bytes(piece.data, piece.stream)
