"""Where services run: as yet on the one machine that is there."""

from daemon.manifest import Manifest
from daemon.primitive import require


def require_here(manifest: Manifest, machine: str) -> None:
    """No service may be placed on a machine that is not there."""
    for name, service in manifest.services.items():
        wanted = service.place.machine if service.place else machine
        require(
            wanted == machine,
            "machine.missing",
            f"cannot place {manifest.namespace}/{name} on {wanted}",
            f"there is no machine of that name; there is {machine}",
            f'place = {{ machine = "{machine}" }}, or leave place out',
        )
