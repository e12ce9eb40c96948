"""All that an operation could leave behind on a machine, looked at from outside, to be compared before and after."""

import json
import re

from tests.machine.cluster import Cluster, wait_until
from tests.machine.recorded import Records, recorded

World = dict[str, list[str]]


def world(cluster: Cluster) -> World:
    """Containers, datasets with their snapshots, addresses, views, files, and what the records hold. Sorted lines.

    Looked at once nobody holds a claim: they are freed after the answer.
    """
    found: list[Records] = []

    def unclaimed() -> bool:
        found[:] = [recorded(cluster)]
        return not any(record.get("claims") for record in found[0]["namespaces"].values())

    wait_until(unclaimed, "nobody holds a claim any more")
    return claimed_or_not(cluster, found[0])


def claimed_or_not(cluster: Cluster, records: Records) -> World:
    """The same at once, also where a claim stays."""
    reserved = {key: held for key, held in records["reserved"].items() if held.get("operation")}
    return {
        "containers": sorted(cluster.docker("ps", "-a", "--format", "{{.ID}} {{.Names}} {{.State}}").splitlines()),
        "datasets": cluster.datasets(),
        "rules": sorted(word.strip() for word in re.split(r",|\n", cluster.rules())),
        "views": sorted(file.name for file in (cluster.machine / "data" / "serving").glob("*.view")),
        "files": sorted(str(file) for file in (cluster.machine / "data" / "files").rglob("*")),
        "names": sorted(_contents(cluster, "names")),
        "reserved": [f"{key} {held['namespace']}" for key, held in reserved.items()],
        "heads": [json.dumps(record["head"]) for record in records["namespaces"].values() if record["head"]],
        "points": list(records.get("deploys", ())),
    }


def assert_untouched(cluster: Cluster, before: World) -> None:
    """Nothing is left over, and nothing is missing."""
    after = world(cluster)
    for what in before:
        assert after[what] == before[what], what


def _contents(cluster: Cluster, part: str) -> list[str]:
    folder = cluster.machine / "data" / "serving" / part
    return [file.read_text() for file in folder.rglob("*") if file.is_file() and file.suffix != ".log"]
