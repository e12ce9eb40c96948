"""The key `data = "deploy N"` of a manifest's text: added for a way back, and left out of what is committed.

The text is somebody's own: everything else in it stays as it is, comments too.
"""

import json
import re
from typing import Any

from msgspec.structs import replace

from daemon.manifest import parse, show
from daemon.manifest_text import is_json, read

_LINE = re.compile(r"""^[ \t]*data[ \t]*=[ \t]*("deploy \d+"|'deploy \d+')[ \t]*(#.*)?(\r?\n|$)""", re.MULTILINE)


def with_data(text: str, deploy: int) -> str:
    """The manifest that deploys with the data of a deploy point; `text` has no such key."""
    if is_json(text):
        return _json({**read(text), "data": f"deploy {deploy}"})
    return f'data = "deploy {deploy}"\n{text}'


def without_data(text: str) -> str:
    """The manifest without that key. Where its line cannot be told for sure, it is written anew from what it says."""
    manifest = parse(text)
    if manifest.data is None:
        return text
    if is_json(text):
        return _json({key: value for key, value in read(text).items() if key != "data"})
    wanted, left = replace(manifest, data=None), _LINE.sub("", text, count=1)
    return left if parse(left) == wanted else show(wanted)


def _json(tree: dict[str, Any]) -> str:
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"
