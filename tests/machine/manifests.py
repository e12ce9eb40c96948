"""Small manifests for the tests of this folder: the demo's web alone, which tells its version without a database."""

from tests.machine.cluster import DEMO

LITE = "lite.localhost"
SLOW = '{ before = ["sleep", "60"] }'
"""Hooks that keep a deploy at work before its commit until somebody takes it back."""


def lite(version: int = 1, **settings: str) -> str:
    """The namespace `lite` with the service `web` alone. Settings are TOML; they replace those of the same name."""
    return 'namespace = "lite"\n' + service("web", version, routes=f'["{LITE}"]', **settings)


def service(name: str, version: int = 1, **settings: str) -> str:
    """A service that listens on port 8080. An empty setting is left out."""
    own = {
        "image": f'"ployz-demo/web:{version}"',
        "ports": "{ web = 8080 }",
        "ready": '{ tcp = "web", every = "0.1s", timeout = "10s" }',
        "stop_grace": '"5s"',
        **settings,
    }
    return f"[services.{name}]\n" + "".join(f"{key} = {value}\n" for key, value in own.items() if value)


def demo(version: int = 1, **replaced: str) -> str:
    """A manifest of the demo, with the values of some settings replaced where each is named first."""
    lines = (DEMO / f"shop-{version}.toml").read_text().splitlines()
    for key, value in replaced.items():
        at = next(at for at, line in enumerate(lines) if line.startswith(f"{key} ="))
        lines[at] = f"{key} = {value}"
    return "\n".join(lines) + "\n"
