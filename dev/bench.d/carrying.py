"""Export and import of a volume with 1 GB of data, in turn with `zfs send`, `zfs receive` and `tar` by hand."""

import os
from pathlib import Path
from statistics import median

from figure import Figure, seconds, shown

from dataplane.zfs_tool import mounts
from tests.machine.cluster import Cluster

ROUNDS = 5
MEGABYTES = 1000
AIM = 0.9
"""Of the rate by hand."""
POOL = "ployz-m1"


def measure(cluster: Cluster) -> list[Figure]:
    """Each is done once more than it counts: the first time warms what there is to warm."""
    cluster.done("volume", "import", str(_small(cluster)), "carried/data")
    place = _fill(cluster)
    folder = cluster.machine / "carried"
    folder.mkdir()
    ours: dict[str, list[float]] = {name: [] for name in ("zfs out", "zfs in", "tar out", "tar in")}
    hand: dict[str, list[float]] = {name: [] for name in ours}
    for turn in range(ROUNDS + 1):
        for form, words in (("zfs", ()), ("tar", ("--tar",))):
            file = folder / form
            out = ("volume", "export", "carried/data", "-o", str(file), *words)
            ours[f"{form} out"].append(seconds(lambda out=out: cluster.done(*out)))
            into = ("volume", "import", str(file), f"carried/{form}{turn}")
            ours[f"{form} in"].append(seconds(lambda into=into: cluster.done(*into)))
            for way, script in _by_hand(form, place, file, turn).items():
                hand[way].append(seconds(lambda script=script: cluster.inside("sh", "-ec", script, within=600)))
            # Right after it was written to it is busy for a moment.
            cluster.inside("sh", "-c", f"until zfs destroy -r {POOL}/hand-{form}{turn}; do sleep 0.2; done")
    return [_figure(name, ours[name][1:], hand[name][1:]) for name in ours]


def _by_hand(form: str, place: str, file: Path, turn: int) -> dict[str, str]:
    """Of what stands still too, on the disk in the end, and nothing left over: a tar is made of a clone."""
    dataset, _, _ = place.partition(" ")
    snapshot = f"{dataset}@{form}{turn}"
    if form == "zfs":
        return {
            "zfs out": f"zfs snapshot {snapshot}; zfs send {snapshot} | zstd -qfT0 -o {file}.hand; sync {file}.hand; "
            f"zfs destroy {snapshot}",
            "zfs in": f"zstd -dqc {file}.hand | zfs receive -u {POOL}/hand-zfs{turn}",
        }
    return {
        "tar out": f"zfs snapshot {snapshot}; zfs clone -o mountpoint=/run/out{turn} {snapshot} {POOL}/out{turn}; "
        f"tar -C /run/out{turn} -c . | zstd -qfT0 -o {file}.hand; sync {file}.hand; "
        f"until zfs destroy {POOL}/out{turn}; do sleep 0.05; done; zfs destroy {snapshot}",
        "tar in": f"zfs create -o mountpoint=/run/hand{turn} {POOL}/hand-tar{turn}; "
        f"zstd -dqc {file}.hand | tar -C /run/hand{turn} -xp",
    }


def _figure(name: str, ours: list[float], theirs: list[float]) -> Figure:
    form, _, way = name.partition(" ")
    what = f"{'export' if way == 'out' else 'import'} of {MEGABYTES} MB as a {'ZFS stream' if form == 'zfs' else 'tar'}"
    rate = median(theirs) / median(ours)
    beside = f"by hand with `{form}` and `zstd`: {shown(theirs)}"
    return Figure(what, shown(ours), beside, f"{rate:.2f} of its rate", f"≥ {AIM:g}", rate >= AIM, len(ours))


def _small(cluster: Cluster) -> Path:
    folder = cluster.root / "small"
    folder.mkdir()
    (folder / "row").write_text("small")
    return folder


def _fill(cluster: Cluster) -> str:
    """Fill the volume, half with what can be compressed; return its dataset and its path."""
    process = Path("/proc") / str(cluster.holder())
    [(name, place)] = [one for one in mounts(process / "mountinfo") if "/carried/data/" in one[0]]
    with (process / "root" / place.lstrip("/") / "filling").open("wb") as file:
        for _ in range(MEGABYTES // 2):
            file.write(os.urandom(1_000_000) + bytes(range(250)) * 4000)
        file.flush()
        os.fsync(file.fileno())
    return f"{name} {place}"
