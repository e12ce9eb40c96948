"""Which releases talk to each other here."""

from importlib import metadata

import click

from ctl.ask import look
from ctl.flags import Flags
from ctl.grammar import command
from ctl.show import Answer, answer
from daemon.wire import VERSION, Success, Version


@command("version", example="ployzctl version")
@click.pass_obj
def version(flags: Flags) -> Answer:
    """Show the releases of ployzctl and of the daemon that is asked."""
    told = look(Version(), flags)
    result = {"ployzctl": _installed(), "contract": VERSION, "daemon": told.result}
    return answer(Success("version", result, told.operation, told.warnings))


def _installed() -> str:
    try:
        return metadata.version("ployz")
    except metadata.PackageNotFoundError:
        return "not installed, run from its sources"
