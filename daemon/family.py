"""Who came from whom, and what two namespaces differ in: pure functions from records and datasets to results."""

from collections.abc import Iterator, Mapping
from typing import Any

from daemon.held import Pools, alone
from daemon.manifest import parse, show
from daemon.manifest_text import read
from daemon.records import Head
from daemon.wire import BranchRow, CodeDifference, VolumeDifference


def branches(heads: Mapping[str, Head], pools: Pools, of: str | None = None) -> list[BranchRow]:
    """Every namespace that was branched, or those that descend from `of`; each after what it came from."""
    children: dict[str, list[Head]] = {}
    for head in heads.values():
        if head.source:
            children.setdefault(head.source.namespace, []).append(head)
    # What came from a namespace that is there no more begins a tree of its own.
    roots = [of] if of else sorted(name for name in children if name not in heads or not heads[name].source)
    return [row for name in roots for row in _below(name, children, pools)]


def _below(name: str, children: Mapping[str, list[Head]], pools: Pools) -> Iterator[BranchRow]:
    for head in sorted(children.get(name, ()), key=lambda child: child.namespace):
        assert head.source
        held = alone(pools, head.namespace)
        yield BranchRow(head.namespace, head.source.namespace, head.source.deploy, head.source.at, held)
        yield from _below(head.namespace, children, pools)


def code(source: Head, target: Head) -> list[CodeDifference]:
    """Each setting that differs, by its path in the manifest; images with what they mean by now."""
    one, other = _settings(source), _settings(target)
    paths = sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))
    return [CodeDifference(path, one.get(path), other.get(path)) for path in paths if path != "namespace"]


def _settings(head: Head) -> dict[str, str]:
    found = dict(_flat(read(show(parse(head.manifest)))))
    digests = {f"services.{name}.digest": service.digest for name, service in head.services.items()}
    return found | digests


def _flat(tree: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", str(value)


def volumes(source: Head, target: Head, pools: Pools) -> list[VolumeDifference]:
    """For each volume the bytes that either side alone holds: what was written since they were one, and is there."""
    names = sorted(source.volumes.keys() | target.volumes.keys())
    return [VolumeDifference(name, _held(source, name, pools), _held(target, name, pools)) for name in names]


def _held(head: Head, volume: str, pools: Pools) -> int | None:
    there = volume in head.volumes and head.volumes[volume].machine in pools
    return alone(pools, f"{head.namespace}/{volume}") if there else None
