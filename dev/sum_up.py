"""Sum up what several runs of pytest reported: `python dev/sum_up.py FOLDER` prints one line over all of them.

What failed is said once more before that line, in short: a long report is read from its end.
A suite that began (`NAME.begun`) and left no report (`NAME.xml`), or ran no test, counts as one that failed.
Exits with 1 if anything failed or nothing ran.
"""

import sys
import xml.etree.ElementTree as Xml
from collections.abc import Iterator
from pathlib import Path

SHORT = 1500


def read(report: Path) -> list[Xml.Element]:
    """The suites of a report; none if there is no whole one."""
    try:
        return list(Xml.parse(report).getroot().iter("testsuite"))
    except (FileNotFoundError, Xml.ParseError):
        return []


def counted(suites: list[Xml.Element]) -> tuple[int, int, int]:
    """How many tests passed, failed (errors too) and were skipped."""
    ran, failures, errors, skipped = (
        sum(int(suite.get(kind, "0")) for suite in suites) for kind in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    return max(ran - failed - skipped, 0), failed if ran else 1, skipped


def failures(suites: list[Xml.Element]) -> Iterator[str]:
    """Each test that failed, and what pytest says of it in a word."""
    for suite in suites:
        for test in suite.iter("testcase"):
            for kind in ("failure", "error"):
                for failure in test.iter(kind):
                    yield f"{kind}: {test.get('classname')}::{test.get('name')}\n{failure.get('message', '')[:SHORT]}"


def main(folder: Path) -> int:
    reports = [read(begun.with_suffix(".xml")) for begun in sorted(folder.glob("*.begun"))]
    for suites in reports:
        for failure in failures(suites):
            print(failure)
    all_counts = [counted(suites) for suites in reports]
    passed, failed, skipped = (sum(each) for each in zip(*all_counts, strict=True)) if all_counts else (0, 0, 0)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
