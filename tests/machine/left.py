"""What there is of a local cluster on this host: nothing, once it was removed."""

from pathlib import Path

from daemon.dev.cluster import Site, locate
from daemon.dev.processes import Seen, seen


def left(root: Path, name: str) -> list[str]:
    """What there is of the cluster in this root: processes, mounts, control groups, files."""
    running = [" ".join(each.argv) for each in processes(root)]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(root) in line]
    groups = [str(group) for group in locate(name, Site(root, ())).group.folders() if group.exists()]
    return running + mounts + groups + [path.name for path in root.iterdir() if path.name != "home"]


def processes(folder: Path) -> list[Seen]:
    """Those that name a file below the folder."""
    return [each for each in seen() if any(str(folder) in word for word in each.argv)]
