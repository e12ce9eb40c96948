"""The rules of the house, each with its reason. They are checked on every run, so they stay true."""

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import pytest

HOUSE = Path(__file__).parent.parent.parent
PACKAGES = ("ctl", "daemon", "dataplane", "runtime")
MAY_IMPORT = {
    "ctl": ({"ctl", "daemon.wire"}, "ctl runs on a laptop: it knows the contract and nothing else"),
    "daemon": ({"daemon", "dataplane", "runtime"}, "the daemon is where everything meets"),
    "daemon/wire": ({"daemon.wire"}, "a contract that imports is a contract that changes by accident"),
    "daemon/primitives": (
        {
            "daemon.node",
            "daemon.primitive",
            "daemon.wire",
            "daemon.belonging",
            "daemon.closing",
            "daemon.addressing",
            "daemon.letters",
            "daemon.membership",
            "daemon.moments",
            "daemon.moves",
            "daemon.migrating",
            "daemon.sending",
            "daemon.lineage",
            "daemon.manifest",
            "daemon.manifest_sets",
            "daemon.manifest_data",
            "daemon.records",
            "daemon.change",
            "daemon.changing",
            "daemon.contents",
            "daemon.planning",
            "daemon.branching",
            "daemon.nearest",
            "daemon.seeing",
            "daemon.units",
            "runtime.instance",
            "daemon.volumes",
            "daemon.primitives",
        },
        "a primitive is prose about a node; it must not see how a node does things",
    ),
    "dataplane": ({"dataplane", "runtime.command"}, "the data plane is useful, and testable, without a daemon"),
    "runtime": ({"runtime"}, "the runtime is the bottom of the house"),
}
MAY_START_PROCESSES = {"runtime/command.py", "ctl/local.py", "ctl/packing.py", "ctl/ssh.py"}
MAY_IMPORT_NATS = {"dataplane/bus.py"}
MAY_CATCH_EVERYTHING = {"daemon/__main__.py", "daemon/engine.py", "daemon/server.py"}
MAY_PRINT = {"ctl/show.py"}
NAMES_OF_NOTHING = {"utils", "common", "helpers", "manager", "base", "misc"}
LONGEST_FILE, LONGEST_FUNCTION = 400, 50


def files() -> list[str]:
    return [str(f.relative_to(HOUSE)) for p in PACKAGES for f in sorted((HOUSE / p).rglob("*.py"))]


def tree(file: str) -> ast.Module:
    return ast.parse((HOUSE / file).read_text())


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute: the layer is read off the line"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every function's name and length in lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or 0) - node.lineno + 1


@pytest.mark.parametrize("file", files())
def test_who_may_import_whom(file: str) -> None:
    rule = max((r for r in MAY_IMPORT if file == r or file.startswith(f"{r}/")), key=len)
    allowed, reason = MAY_IMPORT[rule]
    for name in imports(tree(file)):
        if name.split(".")[0] in PACKAGES:
            fits = any(name == a or name.startswith(f"{a}.") for a in allowed)
            assert fits, f"{file} imports {name}: {reason}"
        if name.split(".")[0] == "nats":
            assert file in MAY_IMPORT_NATS, f"{file} imports nats: dataplane.bus is the one door to the store"


@pytest.mark.parametrize("file", files())
def test_one_way_out(file: str) -> None:
    source = (HOUSE / file).read_text()
    starts = "create_subprocess" in source or any(
        name.split(".")[0] == "subprocess" or name == "asyncio.subprocess" for name in imports(tree(file))
    )
    assert not starts or file in MAY_START_PROCESSES, f"{file} starts processes: runtime.command does that"
    assert "shell=True" not in source, f"{file}: commands are lists of words, never strings for a shell"


@pytest.mark.parametrize("file", files())
def test_what_nobody_does(file: str) -> None:
    assert not set(Path(file).with_suffix("").parts) & NAMES_OF_NOTHING, f"{file} is named for nothing"
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Name):
            blind = node.type.id == "Exception" and not any(isinstance(n, ast.Raise) for n in ast.walk(node))
            assert not blind or file in MAY_CATCH_EVERYTHING, f"{file}:{node.lineno} swallows every failure"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            assert file in MAY_PRINT, f"{file}:{node.lineno} prints: ctl/show.py talks to people"


@pytest.mark.parametrize("file", files())
def test_small_files_that_say_what_they_are_for(file: str) -> None:
    source = (HOUSE / file).read_text()
    assert len(source.splitlines()) <= LONGEST_FILE, f"{file} says more than one thing"
    assert not source or ast.get_docstring(tree(file)), f"{file} does not say what it is for"
    for name, length in functions(tree(file)):
        assert length <= LONGEST_FUNCTION, f"{file}:{name} is {length} lines long"


def test_most_functions_are_short() -> None:
    lengths = [length for file in files() for _, length in functions(tree(file))]
    assert median(lengths) <= 10
    assert quantiles(lengths, n=10)[-1] <= 25
    assert median(len((HOUSE / file).read_text().splitlines()) for file in files()) <= 150
