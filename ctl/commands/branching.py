"""Environments with their data: branch a namespace, and promote what came of it."""

from typing import Literal, cast

import click

from ctl.ask import look, mutate
from ctl.flags import Flags
from ctl.grammar import Applied, command, group
from ctl.show import Answer, answer
from daemon.wire import Branch, BranchDiff, BranchLs, Promote

MODE = click.Choice(["branch", "fresh"])
Modes = Literal["branch", "fresh"]


@command("apply", example="ployzctl branch apply shop pr-42 --set web.image=shop/web:pr-42", changes=True)
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option("--service-mode", metavar="MODE", type=MODE, default="branch", help="branch (default) or fresh")
@click.option("--volume-mode", metavar="MODE", type=MODE, default="branch", help="branch (default) or fresh: empty")
@click.option("--service", "services", metavar="NAME=MODE", multiple=True, help="the mode of one service")
@click.option("--volume", "volumes", metavar="NAME=MODE", multiple=True, help="the mode of one volume")
@click.option(
    "--set", "sets", metavar="SERVICE.KEY=VALUE", multiple=True, help="what the branch's manifest says instead"
)
@click.option("--freeze", is_flag=True, help="let writers stand still for the instant of the snapshots")
@click.pass_obj
def apply(flags: Flags, /, **asked: object) -> Answer:
    """Make a running copy of a namespace, with its data as of now.

    The source never stops, and nothing that can be written is shared. `ployzctl branch preview SOURCE TARGET` only
    shows what would be done.
    """
    return answer(mutate(_request(asked), flags))


def _request(asked: dict[str, object]) -> Branch:
    return Branch(
        source=str(asked["source"]),
        target=str(asked["target"]),
        service_mode=cast(Modes, asked["service_mode"]),
        volume_mode=cast(Modes, asked["volume_mode"]),
        services=_modes(asked["services"]),
        volumes=_modes(asked["volumes"]),
        sets=dict(_pair(word) for word in cast(tuple[str, ...], asked["sets"])),
        freeze=bool(asked["freeze"]),
    )


def _modes(words: object) -> dict[str, Modes]:
    found = dict(_pair(word) for word in cast(tuple[str, ...], words))
    for name, mode in found.items():
        if mode not in MODE.choices:
            raise click.UsageError(f"{name}={mode}: a mode is branch or fresh", click.get_current_context())
    return cast(dict[str, Modes], found)


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not (name and equals):
        raise click.UsageError(f"{word} is not NAME=VALUE", click.get_current_context())
    return name, value


@command("ls", example="ployzctl branch ls shop")
@click.argument("namespace", metavar="[NS]", required=False)
@click.pass_obj
def ls(flags: Flags, namespace: str | None) -> Answer:
    """Show what was branched from what, and the bytes that each alone holds."""
    return answer(look(BranchLs(namespace), flags))


@command("diff", example="ployzctl branch diff shop pr-42")
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.pass_obj
def diff(flags: Flags, source: str, target: str) -> Answer:
    """Show what differs between two namespaces, in code and in bytes of data."""
    return answer(look(BranchDiff(source, target), flags))


branch = group(Applied, "branch", "Copy a namespace with its data, and see what came from what.")
for one in (apply, ls, diff):
    branch.add_command(one)


@command("promote", example="ployzctl promote pr-42 shop", changes=True)
@click.argument("words", metavar="SOURCE TARGET", nargs=-1, required=True)
@click.option("--with-data", is_flag=True, help="move the data over too")
@click.pass_obj
def promote(flags: Flags, words: tuple[str, ...], *, with_data: bool) -> Answer:
    """Deploy what one namespace runs into another, as a rule a branch into its source.

    `ployzctl promote preview SOURCE TARGET` only shows what would be done.
    """
    *first, source, target = words if len(words) > 1 else ("", "", "")
    if first not in ([], ["preview"]) or not source:
        raise click.UsageError("it takes a SOURCE and a TARGET", click.get_current_context())
    flags.preview = flags.preview or bool(first)
    return answer(mutate(Promote(source, target, with_data), flags))
