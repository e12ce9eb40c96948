"""What the files of instances contain: a head's manifest has it, so it goes and comes back with the head."""

from collections.abc import Iterator, Mapping

from daemon.manifest import parse
from daemon.records import Head


def contents(head: Head, files: Mapping[str, str]) -> dict[str, bytes]:
    """What is to be found at each path in an instance; `files` names the manifest's files by such paths."""
    held = parse(head.manifest).files if files else {}
    return {target: held[source] for target, source in files.items()}


def committed(head: Head, machine: str) -> Iterator[tuple[str, str, dict[str, bytes]]]:
    """For each committed instance on a machine that has files: its id, the operation that made it, and its files."""
    for service in head.services.values():
        if found := contents(head, service.specification.files):
            here = (instance for instance in service.instances if instance.machine == machine)
            yield from ((instance.id, instance.operation, found) for instance in here)
