"""Change a namespace: deploy, and roll back."""

import sys
from pathlib import Path
from typing import BinaryIO

import click

from ctl.ask import mutate
from ctl.files import files
from ctl.flags import Count, Flags
from ctl.grammar import command
from ctl.listen import Failed
from ctl.show import Answer, answer, tell
from daemon.wire import Deploy, Failure, Refused, Rollback

LARGEST = 256 * 1024
"""Bytes of a manifest; the daemon has the same limit."""


@command("deploy", example="ployzctl deploy -f shop.toml", changes=True)
@click.option("-f", "--file", metavar="FILE", required=True, help="the manifest, TOML or JSON; - is stdin")
@click.option("--prune-volumes", is_flag=True, help="let go of volumes that it no longer names; their data is kept")
@click.argument("word", metavar="", required=False)
@click.pass_obj
def deploy(flags: Flags, file: str, word: str | None, *, prune_volumes: bool) -> Answer:
    """Make a namespace what a manifest says.

    `ployzctl deploy preview -f FILE` only shows what would be done.
    """
    if word not in (None, "preview"):
        raise click.UsageError(f"{word} is not a part of it: the manifest names the namespace", _context())
    flags.preview = flags.preview or word == "preview"
    text = manifest(file)
    named = files(text, Path() if file == "-" else Path(file).parent)
    return answer(mutate(Deploy(text, named, prune_volumes), flags))


@command("rollback", example="ployzctl rollback shop --to 4", changes=True)
@click.argument("words", metavar="NS", nargs=-1, required=True)
@click.option("--to", metavar="DEPLOY", type=Count(min=1), help="the deploy point; default: the one before")
@click.option("--code-only", is_flag=True, help="keep the data as it is")
@click.pass_obj
def rollback(flags: Flags, words: tuple[str, ...], to: int | None, *, code_only: bool) -> Answer:
    """Make a namespace what it was at a deploy point, code and data, as a new deploy.

    `ployzctl rollback preview NS` only shows what would be done.
    """
    first, *rest = words
    if len(rest) > 1 or (rest and first != "preview"):
        raise click.UsageError(f"one namespace at a time, not {' '.join(words)}", _context())
    flags.preview = flags.preview or bool(rest)
    return answer(mutate(Rollback(words[-1], to, code_only), flags))


def manifest(file: str) -> str:
    """The text of a manifest; `-` is stdin. Raise Refused for what cannot be one."""
    data = _read(file)
    if len(data) > LARGEST:
        why = f"it is larger than {LARGEST // 1024} KiB"
        raise _refused("too_large", file, why, "put large files into an image or a volume")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        why = f"it is not UTF-8 (byte {error.start} is 0x{data[error.start]:02x})"
        raise _refused("encoding", file, why, "save it as UTF-8") from None


def _read(file: str) -> bytes:
    if file == "-":
        if sys.stdin.isatty():
            tell("Reading a manifest from the terminal; Ctrl-D ends it.")
        return _enough(sys.stdin.buffer)
    try:
        with open(file, "rb") as opened:
            return _enough(opened)
    except FileNotFoundError:
        hint = "-f with the path of a manifest, or -f - for stdin"
        raise _refused("no_file", file, "there is no such file", hint) from None
    except OSError as error:
        raise _refused("unreadable", file, error.strerror or str(error), "-f with the path of a file") from None


def _enough(file: BinaryIO) -> bytes:
    """All of it, or just so much that it is seen to be too large."""
    return file.read(LARGEST + 1)


def _refused(code: str, file: str, why: str, hint: str) -> Failed:
    what = f"cannot deploy {'what came on stdin' if file == '-' else file}"
    return Failed(Failure(Refused(f"manifest.{code}", what, why, hint).error), changes=True)


def _context() -> click.Context:
    return click.get_current_context()
