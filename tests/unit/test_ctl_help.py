"""Every command is listed, has an example that is understood, and a section in the documentation."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from ctl.flags import Flags, everywhere, of_mutations
from ctl.grammar import Command, Group
from ctl.program import program
from tests.fakes.terminal import HOUSE, ployzctl

DOCUMENTED = (HOUSE / "docs" / "cli.md").read_text()


def commands(group: Group, *path: str) -> Iterator[tuple[str, Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, Group):
            yield from commands(found, *path, name)
        if isinstance(found, Command):
            yield " ".join([*path, name]), found


ALL = dict(commands(program))


def test_these_are_all_commands() -> None:
    assert set(ALL) == {
        *("branch apply", "branch ls", "branch diff", "promote", "migrate apply"),
        *("deploy", "rollback", "status", "ps", "logs", "exec", "history show", "export"),
        *("doctor", "version", "help"),
        *("restart", "stop", "start", "scale", "run"),
        *("namespace ls", "namespace inspect", "namespace rm"),
        *("volume ls", "volume snapshots", "volume snapshot", "volume resize", "volume purge"),
        *("volume restore", "volume send", "fork-volume"),
        *("volume export", "volume import"),
        *("secret set", "secret ls", "secret rm", "secret rotate"),
        *("mesh init", "mesh status", "mesh destroy", "join", "machine rm", "machine drain", "machine undrain"),
        "machine label",
        *("machine add", "machine invite", "machine revoke", "machine ls", "machine inspect", "machine rtt"),
        *("registry login", "registry logout", "registry ls"),
        *("image ls", "image push", "image distribute"),
        *("op ls", "op show", "op resume", "op abort"),
        *("context ls", "context add", "context use", "context rm"),
        *("dev up", "dev down", "dev ls", "dev env"),
        *("dev kill", "dev pause", "dev resume", "dev part", "dev heal"),
    }
    listed = {name for _, names in program.sections for name in names}
    assert listed == {name.split()[0] for name in ALL}


@pytest.mark.parametrize("name", [*ALL, "history"])
def test_help_of_a_command_shows_its_example(name: str) -> None:
    done = ployzctl("help", *name.split())
    assert (done.code, done.error) == (0, "")
    _, _, example = done.out.partition("Example:\n")
    assert f"ployzctl {name}" in example


@pytest.mark.parametrize("name", ALL)
def test_an_example_is_understood(name: str) -> None:
    inside = re.search(r"ployzctl [^<>)]*", ALL[name].example)
    assert inside
    words = shlex.split(inside[0].rstrip('"'))[1:]
    command: click.Command = program
    context = program.make_context("ployzctl", list(words), obj=Flags())
    while isinstance(command, Group):
        _, found, words = command.resolve_command(context, words)
        assert found
        command = found
    with command.make_context(name, words, parent=context):
        assert command is ALL[name]


@pytest.mark.parametrize("name", [*ALL, "history"])
def test_a_command_has_a_section_with_an_example_and_what_it_prints(name: str) -> None:
    section = re.search(rf"^### `{re.escape(name)}\b[^\n]*\n(.*?)(?=^##|\Z)", DOCUMENTED, re.MULTILINE | re.DOTALL)
    assert section, f"docs/cli.md has no section for {name}"
    assert re.search(rf"^\$ .*ployzctl {re.escape(name)}", section[1], re.MULTILINE)


@pytest.mark.parametrize("name", ALL)
def test_a_section_names_all_options(name: str) -> None:
    section = re.search(rf"^### `{re.escape(name)}\b[^\n]*\n(.*?)(?=^##|\Z)", DOCUMENTED, re.MULTILINE | re.DOTALL)
    assert section
    whole = section[0]
    for parameter in ALL[name].own:
        if isinstance(parameter, click.Option):
            assert any(f"{option}" in whole for option in parameter.opts), f"{name} {parameter.opts}"


def test_flags_of_all_commands_are_documented() -> None:
    for option in [*everywhere(), *of_mutations()]:
        assert f"`{option.opts[0]}" in DOCUMENTED


def test_help_alone_lists_the_commands_and_so_does_nothing_at_all() -> None:
    shown = [ployzctl("help"), ployzctl("--help"), ployzctl("-h"), ployzctl()]
    assert {(done.code, done.error) for done in shown} == {(0, "")}
    assert len({done.out for done in shown}) == 1
    for name in ALL:
        assert f"\n  {name.split()[0]} " in shown[0].out


def test_help_of_what_is_not_there_is_wrong_usage() -> None:
    done = ployzctl("help", "op", "lss")
    assert (done.code, done.out) == (2, "")
    assert "there is no command lss" in done.error
