"""What a single field of a manifest may hold: each type brings the reader that makes, or refuses, its value."""

import re
from typing import Annotated

from msgspec import Meta

from daemon import units
from daemon.shape import Unfit, short
from daemon.wire import NAME, SECRET

LATER = "is part of the manifest, but this version cannot do it yet"
MOST_REPLICAS = 1000
_NAMED = "should be a name: small letters, digits and `-` (never first or last), at most 40 of them"
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}", re.ASCII)
_VARIABLE = re.compile(r"[^\s=\0-\x1f\x7f-\x9f\ud800-\udfff-][^\s=\0-\x1f\x7f-\x9f\ud800-\udfff]*")
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*", re.ASCII)
_OWNER = re.compile(r"\d{1,9}:\d{1,9}", re.ASCII)
_MODE = re.compile(r"0?[0-7]{3,4}", re.ASCII)


def _string(raw: object) -> str:
    if not isinstance(raw, str):
        raise TypeError("should be a string")
    return raw


def _matching(raw: object, pattern: re.Pattern[str], otherwise: str) -> str:
    if not pattern.fullmatch(_string(raw)):
        raise ValueError(otherwise)
    return str(raw)


def _secret_name(raw: object) -> str:
    if not re.fullmatch(SECRET, _string(raw), re.ASCII):
        raise Unfit("name", f"should be letters, digits and `_`, no digit first, at most 64 of them, is {short(raw)}")
    return str(raw)


def _between(raw: object, least: int, most: int) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise TypeError("should be an integer")
    if not least <= raw <= most:
        raise ValueError(f"should be between {least} and {most}")
    return raw


def _name(raw: object) -> str:
    if not re.fullmatch(NAME, _string(raw)):
        raise Unfit("name", f"{_NAMED}, is {short(raw)}")
    return str(raw)


def _volume_name(raw: object) -> str:
    if isinstance(raw, str) and raw.startswith(("/", ".", "~")):
        raise Unfit(
            "volume",
            f"{short(raw)} is a directory of the host, which cannot be mounted: it neither branches nor moves",
            "name a volume, and declare it under [volumes]",
        )
    return _name(raw)


def _replicas(raw: object) -> int:
    if raw == "global":
        raise Unfit("later", LATER, "give a number of replicas")
    return _between(raw, 1, MOST_REPLICAS)


def _some_time(raw: object) -> float:
    value = units.seconds(raw)
    if value < 0.001:
        raise ValueError("should be at least 1ms")
    return value


def _port(raw: object) -> int:
    return _between(raw, 1, 65535)


def _keep(raw: object) -> int:
    return _between(raw, 1, 1000)


def _image(raw: object) -> str:
    return _matching(raw, _IMAGE, 'should be the name of an image, such as "postgres:16"')


def _variable(raw: object) -> str:
    return _matching(raw, _VARIABLE, "should be the name of a variable, without spaces and `=`")


def _plain_word(raw: object) -> str:
    return _matching(raw, _PLAIN_WORD, 'should be a user or uid:gid, such as "postgres" or "999:999"')


def _owner(raw: object) -> str:
    return _matching(raw, _OWNER, 'should be uid:gid in numbers, such as "999:999"')


def _mode(raw: object) -> str:
    return _matching(raw, _MODE, 'should be an octal mode in quotes, such as "0700"')


Name = Annotated[str, Meta(extra={"read": _name})]
VolumeName = Annotated[str, Meta(extra={"read": _volume_name})]
SecretName = Annotated[str, Meta(extra={"read": _secret_name})]
Image = Annotated[str, Meta(extra={"read": _image})]
Variable = Annotated[str, Meta(extra={"read": _variable})]
User = Annotated[str, Meta(extra={"read": _plain_word})]
Owner = Annotated[str, Meta(extra={"read": _owner})]
Mode = Annotated[str, Meta(extra={"read": _mode})]
Port = Annotated[int, Meta(extra={"read": _port})]
Replicas = Annotated[int, Meta(extra={"read": _replicas})]
Keep = Annotated[int, Meta(extra={"read": _keep})]
Duration = Annotated[float, Meta(extra={"read": units.seconds, "write": units.write_seconds})]
Interval = Annotated[float, Meta(extra={"read": _some_time, "write": units.write_seconds})]
Size = Annotated[int, Meta(extra={"read": units.size, "write": units.write_size})]
