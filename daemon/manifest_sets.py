"""Single settings put into a manifest: `web.env.DEBUG=1` and the like, as somebody says them in passing."""

import tomllib
from collections.abc import Mapping
from typing import Any

from daemon import toml_text
from daemon.manifest import Manifest, parse_for, show
from daemon.manifest_text import read
from daemon.nearest import nearest
from daemon.wire import Refused


def with_sets(manifest: Manifest, sets: Mapping[str, str], cannot: str) -> Manifest:
    """The manifest with each `SERVICE.KEY` of `sets` as it says there.

    A value is TOML (`3`, `["a", "b"]`), or the string itself where it is none; in `env` it is always the string.
    Raises Refused `set.*`, and `manifest.*` if what comes out is no manifest.
    """
    tree = read(show(manifest))
    for path, value in sets.items():
        _put(tree.get("services", {}), path, value)
    return parse_for(cannot, toml_text.write(tree))


def _put(services: dict[str, Any], path: str, value: str) -> None:
    service, *keys = path.split(".")
    if service not in services:
        close = nearest(service, services)
        hint = f"{close}.{'.'.join(keys)}={value}" if close else "ployzctl namespace ls"
        raise Refused("set.service", f"cannot set {path}", f"there is no service {service}", hint)
    if not keys or not all(keys):
        raise Refused("set.key", f"cannot set {path}", "it names no key of the service", f"{service}.env.NAME=VALUE")
    table = services[service]
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise Refused("set.key", f"cannot set {path}", f"{key} has no keys below it", "set it as a whole")
    table[keys[-1]] = value if keys[0] == "env" else _value(value)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
