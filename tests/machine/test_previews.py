"""docs/previews.md, as it is written: each command of it is run, one after the other."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.machine.cluster import DEMO, HOUSE, Cluster

FENCE = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_a_pull_request_is_previewed_promoted_and_cleaned_up(shop: Cluster, tmp_path: Path) -> None:
    ctl = tmp_path / "ployzctl"
    ctl.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m ctl "$@"\n')
    ctl.chmod(0o755)
    environment = {**shop.environment, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    versions = {}
    for text in FENCE.findall((HOUSE / "docs" / "previews.md").read_text()):
        for command in text.splitlines():
            ran = subprocess.run(["bash", "-ec", command], env=environment, cwd=DEMO, capture_output=True, timeout=120)
            assert ran.returncode == 0, f"{command}: {ran.stdout.decode()}{ran.stderr.decode()}"
            if "branch apply" in command:
                versions["of the branch"] = shop.get("/version", host="pr-42.localhost")
            if "promote" in command:
                versions["promoted"] = shop.get("/version")
    assert versions == {"of the branch": "2", "promoted": "1"}
    assert not [name for name in shop.datasets() if "pr-42" in name]
    assert [one["name"] for one in shop.done("namespace", "ls")["removed"]] == []
