"""All that an operation could leave behind on a machine, looked at from outside, to be compared before and after."""

import json
import re
from pathlib import Path

from tests.machine.cluster import Cluster, wait_until

World = dict[str, list[str]]


def world(cluster: Cluster) -> World:
    """Containers, datasets with their snapshots, addresses, views, files, and what the records hold. Sorted lines.

    Claims are left out: they are freed after the answer, and are waited for where it matters.
    """
    return {
        "containers": sorted(cluster.docker("ps", "-a", "--format", "{{.ID}} {{.Names}} {{.State}}").splitlines()),
        "datasets": cluster.datasets(),
        "rules": sorted(word.strip() for word in re.split(r",|\n", cluster.rules())),
        "views": sorted(file.name for file in (cluster.machine / "data" / "serving").glob("*.view")),
        "files": sorted(str(file) for file in (cluster.machine / "data" / "files").rglob("*")),
        "names": sorted(_contents(cluster, "names")),
        "reserved": sorted(_reserved(cluster)),
        "heads": [json.dumps(head) for text in _namespaces(cluster) if (head := json.loads(text)["head"])],
        "points": [file for file, _ in _records(cluster) if file.startswith("deploys.")],
    }


def assert_untouched(cluster: Cluster, before: World) -> None:
    """Nothing is left over, and nothing is missing."""
    wait_until(lambda: _unclaimed(cluster), "nobody holds a claim any more")
    assert world(cluster) == before


def _unclaimed(cluster: Cluster) -> bool:
    return not any(json.loads(text).get("claims") for text in _namespaces(cluster))


def _namespaces(cluster: Cluster) -> list[str]:
    return [text for file, text in _records(cluster) if file.startswith("namespaces.")]


def _contents(cluster: Cluster, part: str) -> list[str]:
    folder = cluster.machine / "data" / "serving" / part
    return [file.read_text() for file in folder.rglob("*") if file.is_file() and file.suffix != ".log"]


def _reserved(cluster: Cluster) -> list[str]:
    reserved = [(file, json.loads(text)) for file, text in _records(cluster) if file.startswith("reserved.")]
    return [f"{file} {held['namespace']}" for file, held in reserved if held.get("operation")]


def _records(cluster: Cluster) -> list[tuple[str, str]]:
    """Every record as the mirror has it: its name, and its JSON."""
    files = sorted((cluster.machine / "data" / "mirror").glob("*.record"))
    return [(file.stem, _value(file)) for file in files]


def _value(file: Path) -> str:
    return file.read_bytes().partition(b"\n")[2].decode()
