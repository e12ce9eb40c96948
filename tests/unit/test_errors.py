"""Every code that the product can raise is in docs/errors.md with an example, and no other is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from ctl.show import USAGE
from daemon.problems import CODES

HOUSE = Path(__file__).parents[2]
RAISE = {"Refused": 0, "TakenBack": 0, "Stuck": 0, "Problem": 0, "Error": 0, "require": 1, "require_ports": 1}
"""Where the code stands among the arguments of each."""
OF_MANIFESTS = {"Fault": 0, "_fault": 0, "Unfit": 0, "_refused": 0}
"""Those that say the code without `manifest.` before it, in files that read manifests."""


def test_every_code_is_documented_with_an_example() -> None:
    rows = documented()
    assert raised() - set(rows) == set(), "these are not in docs/errors.md"
    assert set(rows) - raised() == set(), "these are in docs/errors.md, and nobody raises them"
    for code, cells in rows.items():
        assert all(cells), f"the row of {code} has an empty cell"
        assert "`" in cells[-1], f"the row of {code} has no example"


def test_a_failure_that_a_test_makes_up_is_not_provoked() -> None:
    made = "def test_x():\n raise Refused('pool.full', 'x')\n assert code == 'pool.full' or code == 'zfs.failed'\n"
    tree = ast.parse(f"{made} assert ZfsProblem('x')\n assert code == 'claim.held'")
    [test] = tree.body
    assert isinstance(test, ast.FunctionDef)
    assert looked_at(test, tree) - made_up(test) == {"claim.held"}


def test_every_code_is_provoked() -> None:
    """Naming a code is not enough: somebody brings its failure about and looks at the code that comes of it."""
    assert raised() - provoked() == set(), "no test brings these about"


def provoked() -> set[str]:
    """The codes that are looked at in a test which did not make up the failure itself."""
    samples = (HOUSE / "tests").rglob("*.error")
    found = {file.read_text().partition(":")[0] for file in samples}
    for file in (HOUSE / "tests").rglob("*.py"):
        tree = ast.parse(file.read_text())
        for test in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
            found |= looked_at(test, tree) - made_up(test)
    return found


def looked_at(test: ast.FunctionDef, tree: ast.Module) -> set[str]:
    """The words in its assertions, in the calls of what asserts, and in the tables that it is run for."""
    places = [node for node in ast.walk(test) if isinstance(node, ast.Assert) or _asserts(node)]
    if places:
        named = {node.id for each in test.decorator_list for node in ast.walk(each) if isinstance(node, ast.Name)}
        places += [*test.decorator_list, *(node for node in tree.body if _assigns(node) in named)]
    words = (node.value for place in places for node in ast.walk(place) if isinstance(node, ast.Constant))
    return {code for word in words if isinstance(word, str) for code in _CODE.findall(word)}


_CODE = re.compile(r"[a-z_]+\.[a-z_]+|usage|bug|interrupted|detached")


def _asserts(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _called(node).startswith(("assert_", "require_", "refused"))


def _assigns(node: ast.stmt) -> str:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return ""


def made_up(test: ast.FunctionDef) -> set[str]:
    """The codes of failures that it makes itself: to look at those proves nothing."""
    calls = [node for node in ast.walk(test) if isinstance(node, ast.Call)]
    in_words = {code for call in calls if _called(call) in RAISE for code in _said(call, RAISE[_called(call)])}
    made = {_called(call) for call in calls}
    return in_words | {code for kind, code in CODES if kind.__name__ in made}


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def documented() -> dict[str, list[str]]:
    """The cells of each row behind its code."""
    lines = (HOUSE / "docs/errors.md").read_text().splitlines()
    found = [(re.match(r"\| `([a-z_.]+)` \|", line), line) for line in lines]
    rows = [(match[1], [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[2:-1]]) for match, line in found if match]
    codes = [code for code, _ in rows]
    assert len(codes) == len(set(codes)), "a code has two rows"
    return dict(rows)


def raised() -> set[str]:
    """Every code in the source: those that are raised in words, and those that failures of the world are given."""
    in_words = {code for file in sources() for code in codes_in(file)}
    return in_words | {code for _, code in CODES} | {"operation.cut"}


def sources() -> Iterator[Path]:
    for package in ("ctl", "daemon", "dataplane", "runtime"):
        yield from (HOUSE / package).rglob("*.py")


def codes_in(file: Path) -> Iterator[str]:
    of_manifests = file.name.startswith(("manifest", "shape")) or file.name == "deploying.py"
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                if name in RAISE:
                    yield from _said(node, RAISE[name])
                if name in OF_MANIFESTS and of_manifests:
                    yield from (f"manifest.{code}" for code in _said(node, OF_MANIFESTS[name]))


def _said(call: ast.Call, position: int) -> Iterator[str]:
    """The code, if it is said in words here; one that is handed on was said elsewhere."""
    match call.args[position : position + 1]:
        case [ast.Constant(value=str(code))]:
            yield code
        case [ast.Name(id="USAGE")]:
            yield USAGE


def test_the_reading_of_the_source_finds_each_way_of_saying_it() -> None:
    wanted = {
        "claim.held",
        "pool.full",
        "deploy.current",
        "manifest.unknown_key",
        "manifest.encoding",
        "usage",
        "image.missing",
    }
    assert wanted <= raised()
