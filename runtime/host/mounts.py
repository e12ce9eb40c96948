"""What an instance sees of the file system: the machine's own, with its volumes, its names, and without our data."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from runtime.instance import EngineProblem, Specification

SHARED_MEMORY = 64 * 1024 * 1024
"""Bytes of /dev/shm where nothing else is asked for, as in a container."""
RESOLVER, SWITCH = "/etc/resolv.conf", "/etc/nsswitch.conf"
CACHES = ("/run/nscd", "/var/run/nscd")
"""Where a cache of names of the whole machine listens; it would answer before our name server does."""

Words = tuple[str, ...]


def files(specification: Specification, dns: str | None, switch: str) -> dict[str, bytes]:
    """The files of its own, by name in its folder; `switch` is the machine's nsswitch.conf, empty if it has none."""
    found = {name: specification.files[target] for name, target in _named(specification)}
    if dns:
        search = [f"search {' '.join(specification.search)}", "options ndots:2"] if specification.search else []
        found["resolv.conf"] = "\n".join([f"nameserver {dns}", *search, ""]).encode()
    if switch:
        # Only files and the name server: others (resolve, mdns, myhostname) ask daemons of the whole machine.
        found["nsswitch.conf"] = re.sub(r"(?m)^\s*hosts:.*$", "hosts: files dns", switch).encode()
    return found


def _named(specification: Specification) -> Iterator[tuple[str, str]]:
    """The name in its folder, and the path in the instance, of each file that the manifest gives it."""
    for number, target in enumerate(sorted(specification.files)):
        yield f"file-{number}", target


def written(specification: Specification) -> list[str]:
    """What stays writable where the root is read-only."""
    return [mount.target for mount in specification.mounts if not mount.read_only]


def require(specification: Specification) -> None:
    """Raises EngineProblem where a directory or a file is missing on either side of a mount.

    What is mounted read-only is ployz's own, below /run, where a directory is made for it.
    """
    for mount in specification.mounts:
        if not Path(mount.source).is_dir():
            raise EngineProblem(f"cannot mount {mount.source} into {specification.id}: it does not exist")
        if not mount.read_only and not Path(mount.target).is_dir():
            raise EngineProblem(
                f"cannot mount a volume at {mount.target} in {specification.id}: this machine has no such directory; "
                f"make it (mkdir -p {mount.target}): it stays empty, only the instance sees the volume there"
            )
    for target in specification.files:
        if not Path(target).is_file():
            raise EngineProblem(
                f"cannot mount a file at {target} in {specification.id}: this machine has no such file; make it "
                f"(mkdir -p {Path(target).parent} && touch {target}): only the instance sees what is in it"
            )


def commands(specification: Specification, folder: Path) -> Iterator[Words]:
    """The words that mount what is its own, to be run in its mount namespace, in this order."""
    for mount in sorted(specification.mounts, key=lambda mount: mount.target):
        if mount.read_only:
            yield ("mkdir", "-p", "-m", "0755", mount.target)
        yield ("mount", "--bind", mount.source, mount.target)
        if mount.read_only:
            yield ("mount", "-o", "remount,bind,ro", mount.target)
    for name, target in (("resolv.conf", RESOLVER), ("nsswitch.conf", SWITCH), *_named(specification)):
        if (folder / name).exists():
            yield ("mount", "--bind", str(folder / name), target)
            yield ("mount", "-o", "remount,bind,ro", target)
    for cache in CACHES:
        if Path(cache).is_dir() and not Path(cache).is_symlink():
            yield ("mount", "-t", "tmpfs", "-o", "size=4k,mode=0755", "tmpfs", cache)
    size = specification.shm or SHARED_MEMORY
    yield ("mount", "-t", "tmpfs", "-o", f"nosuid,nodev,mode=1777,size={size}", "tmpfs", "/dev/shm")


def hiding(mountinfo: str, targets: Sequence[str], hidden: Sequence[Path]) -> Iterator[Words]:
    """The words that take our own folders out of sight, by the text of the namespace's mountinfo.

    A mount that stays would keep its dataset busy for as long as the instance lives, whosever it is; and nobody but
    its own instance may reach a volume.
    """
    mounted = reversed([_path(line) for line in mountinfo.splitlines()])
    below = [path for path in mounted if any(path != one and path.is_relative_to(one) for one in hidden)]
    if going := [str(path) for path in below if str(path) not in targets]:
        yield ("umount", "--lazy", *going)  # there is one for each volume and each container of the machine
    for folder in hidden:
        within = any(folder != other and folder.is_relative_to(other) for other in hidden)
        if folder.is_dir() and not within:
            yield ("mount", "-t", "tmpfs", "-o", "size=4k,mode=0755", "tmpfs", str(folder))


def _path(line: str) -> Path:
    return Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4]))
