"""Sum up what several runs of pytest reported: `python dev/sum_up.py FOLDER` prints one line over all of them.

A suite that began (`NAME.begun`) and left no report (`NAME.xml`), or ran no test, counts as one that failed.
Exits with 1 if anything failed or nothing ran.
"""

import sys
import xml.etree.ElementTree as Xml
from pathlib import Path


def counted(report: Path) -> tuple[int, int, int]:
    """How many tests passed, failed (errors too) and were skipped."""
    try:
        suites = list(Xml.parse(report).getroot().iter("testsuite"))
    except (FileNotFoundError, Xml.ParseError):
        return 0, 1, 0
    ran, failures, errors, skipped = (
        sum(int(suite.get(kind, "0")) for suite in suites) for kind in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    return max(ran - failed - skipped, 0), failed if ran else 1, skipped


def main(folder: Path) -> int:
    all_counts = [counted(begun.with_suffix(".xml")) for begun in sorted(folder.glob("*.begun"))]
    passed, failed, skipped = (sum(each) for each in zip(*all_counts, strict=True)) if all_counts else (0, 0, 0)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
