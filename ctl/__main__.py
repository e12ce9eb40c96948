"""The program `ployzctl`: what was typed, in; text or one JSON document and an exit code, out."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from ctl.flags import Flags
from ctl.grammar import HelpAsked
from ctl.listen import INTERRUPTED, Failed
from ctl.program import program
from ctl.show import Answer, Screen
from daemon.wire import Failure, Problem


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    screen = _screen(words)
    sys.excepthook = screen.bug
    try:
        return _run(words, screen)
    except BrokenPipeError:
        _drop_output()
        return 1


def run() -> NoReturn:
    """Be the program. Everything is written by now, and to take the interpreter apart takes longer than an answer."""
    os._exit(main())


def _run(words: list[str], screen: Screen) -> int:
    try:
        return screen.answer(_command(words))
    except click.UsageError as error:
        return screen.failed(_misused(error))
    except Failed as failed:
        return screen.failed(failed.failure, changes=failed.changes)
    except Problem as problem:
        return screen.failed(Failure(problem.error))
    except KeyboardInterrupt:
        return screen.failed(INTERRUPTED)


def _misused(error: click.UsageError) -> Failure:
    from ctl import usage  # takes as long to import as to ask a daemon, and is seldom wanted

    return usage.failure(error)


def _command(words: list[str]) -> Answer:
    try:
        if unread := [word for word in words if not _is_text(word)]:
            raise click.UsageError(f"{unread[0]!a} is not UTF-8")
        with program.make_context("ployzctl", words or ["help"], obj=Flags(), max_content_width=100) as context:
            answer = program.invoke(context)
    except HelpAsked as asked:
        return asked.answer
    assert isinstance(answer, Answer)
    return answer


def _is_text(word: str) -> bool:
    """Python keeps bytes that are not UTF-8 as surrogates, which no JSON can hold."""
    return not any("\ud800" <= letter <= "\udfff" for letter in word)


def _screen(words: list[str]) -> Screen:
    """Who reads must be known before the words are understood: wrong usage is a document too."""
    flags = words[: words.index("--")] if "--" in words else words
    return Screen(json="--json" in flags, events="--events" in flags)


def _drop_output() -> None:
    """Whoever read has gone; python must not complain about that while it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


if __name__ == "__main__":
    run()
