"""Deploy points of a namespace, and manifests of what is and was."""

import click

from ctl.ask import look
from ctl.flags import Count, Flags
from ctl.grammar import Group, command, group
from ctl.lines import read
from ctl.show import Answer, answer
from ctl.texts.history import Point
from daemon import wire


@command("history", example="ployzctl history shop")
@click.argument("namespace", metavar="NS")
@click.pass_obj
def points(flags: Flags, namespace: str) -> Answer:
    """List a namespace's deploy points, newest first."""
    return answer(look(wire.History(namespace), flags))


@command("show", example="ployzctl history show shop 4 --manifest")
@click.argument("namespace", metavar="NS")
@click.argument("deploy", metavar="DEPLOY", type=Count(min=1))
@click.option("--manifest", is_flag=True, help="print only its manifest")
@click.pass_obj
def show(flags: Flags, namespace: str, deploy: int, *, manifest: bool) -> Answer:
    """Show one deploy point: when, who, which images, which data, and its manifest.

    The manifest of one that was replaced says `data = "deploy N"`: deployed, it brings that data back.
    """
    success = look(wire.HistoryShow(namespace, deploy), flags)
    if not manifest:
        return answer(success)
    text = read(success.result, Point).manifest
    return answer(wire.Success("manifest", {"manifest": text}, warnings=success.warnings))


@command("export", example="ployzctl export shop > shop.toml")
@click.argument("namespace", metavar="NS")
@click.pass_obj
def export(flags: Flags, namespace: str) -> Answer:
    """Print the manifest that would deploy what runs now."""
    return answer(look(wire.Export(namespace), flags))


class PointsOrOne(Group):
    """`history NS`, and `history show NS DEPLOY`: a first word other than `show` is a namespace."""

    def resolve_command(self, _: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        return ("show", show, args[1:]) if args[0] == "show" else ("", points, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        points.format_usage(ctx, formatter)
        formatter.write_usage("ployzctl", "history show [FLAGS] NS DEPLOY", prefix="       ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        points.format_options(ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        points.format_epilog(ctx, formatter)


history = group(PointsOrOne, "history", "List a namespace's deploy points, or show one of them.")
history.add_command(show)
