"""What systemd itself says of the units of instances."""

import subprocess


def systemctl(*words: str) -> str:
    return subprocess.run(["systemctl", *words], check=True, capture_output=True, text=True).stdout


def ours() -> dict[str, str]:
    """The services that begin with `ployz-`, each with how it is: `running`, `failed` and so on."""
    rows = systemctl("list-units", "--all", "--plain", "--no-legend", "--no-pager", "ployz-*.service").splitlines()
    return {row.split()[0]: row.split()[3] for row in rows}


def told(unit: str, *properties: str) -> dict[str, str]:
    rows = systemctl("show", unit, *(f"--property={name}" for name in properties)).splitlines()
    return dict(row.split("=", 1) for row in rows)
