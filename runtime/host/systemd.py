"""Who starts a supervisor: systemd, as a transient unit, where it is the init system; else we do, detached."""

from pathlib import Path

UNSHARE = ("unshare", "--net", "--mount", "--ipc", "--propagation", "private", "--")
SLICE = "ployz.slice"


def is_init(root: Path = Path("/")) -> bool:
    """Whether systemd is the init system here (sd_booted(3))."""
    return (root / "run/systemd/system").is_dir()


def unit(id: str) -> str:
    return f"ployz-{id}.service"


def unit_command(id: str, supervisor: tuple[str, ...], grace: float) -> tuple[str, ...]:
    """The words that have systemd run a supervisor as a unit of its own (systemd-run(1), systemd.exec(5)).

    The control group is systemd's but handed to us (`Delegate=`), so a stop, a look and a kill are the same as without
    it. `Restart=no`: the supervisor restarts the command; the unit has no file, so nothing starts it at boot. When the
    machine goes down systemd asks the supervisor to end, which passes that on.
    """
    settings = (
        f"Slice={SLICE}",
        "Delegate=yes",
        "Type=exec",
        "Restart=no",
        "KillMode=mixed",
        f"TimeoutStopSec={grace:g}",
        "OOMPolicy=continue",
        "TasksMax=infinity",
        "LimitNOFILE=1048576",
    )
    properties = (word for setting in settings for word in ("--property", setting))
    start = ("systemd-run", "--quiet", "--collect", "--no-ask-password", f"--unit={unit(id)}")
    return (*start, *properties, "--", *UNSHARE, *supervisor)


def unit_group(hierarchy: Path, id: str) -> Path:
    """The control group of that unit, below the hierarchy's root."""
    return hierarchy / SLICE / unit(id)
