"""The closing line of `dev/test` tells the truth, also when a run of pytest ended before it could report."""

import subprocess
import sys
from pathlib import Path

import pytest

SUM_UP = Path(__file__).parents[2] / "dev" / "sum_up.py"


def _report(tests: int, failures: int = 0, errors: int = 0, skipped: int = 0) -> str:
    counts = f'tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}"'
    return f"<testsuites><testsuite {counts}/></testsuites>"


@pytest.mark.parametrize(
    ("reports", "line", "code"),
    [
        ({"unit": _report(7), "law": _report(3)}, "10 passed, 0 failed", 0),
        ({"unit": _report(7, failures=1, errors=1, skipped=2)}, "3 passed, 2 failed, 2 skipped", 1),
        ({"unit": _report(7), "law": None}, "7 passed, 1 failed", 1),
        ({"unit": _report(7), "law": "<testsui"}, "7 passed, 1 failed", 1),
        ({"unit": _report(0)}, "0 passed, 1 failed", 1),
        ({}, "0 passed, 0 failed", 1),
    ],
)
def test_all_suites_are_summed_up(tmp_path: Path, reports: dict[str, str | None], line: str, code: int) -> None:
    for name, text in reports.items():
        (tmp_path / f"{name}.begun").touch()
        if text is not None:
            (tmp_path / f"{name}.xml").write_text(text)
    ran = subprocess.run([sys.executable, SUM_UP, tmp_path], capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.returncode) == (line, code)


def test_what_failed_is_said_again_in_short(tmp_path: Path) -> None:
    one = "<testcase classname='a.b' name='one'><failure message='assert 1 == 2'/></testcase>"
    other = "<testcase classname='a' name='other'><error message='no machine'/></testcase>"
    (tmp_path / "unit.begun").touch()
    (tmp_path / "unit.xml").write_text(f"<testsuite tests='9' failures='1' errors='1'>{one}{other}</testsuite>")
    ran = subprocess.run([sys.executable, SUM_UP, tmp_path], capture_output=True, text=True, check=False)
    assert ran.stdout.splitlines() == [
        "failure: a.b::one",
        "assert 1 == 2",
        "error: a::other",
        "no machine",
        "7 passed, 2 failed",
    ]
