"""What a single field of a manifest may hold: each type brings the reader that makes, or refuses, its value."""

import re
from base64 import b64decode, b64encode
from typing import Annotated, Final, Literal

from msgspec import Meta

from daemon import units
from daemon.nearest import nearest
from daemon.shape import Unfit, short
from daemon.wire import NAME, SECRET

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
LABEL = "a word of letters, digits, dots, `-` and `_`, at most 63 of them"
MOST_REPLICAS = 1000
GLOBAL: Final = "global"
"""Instead of a number of replicas: one on each machine."""
_NAMED = "should be a name: small letters, digits and `-` (never first or last), at most 40 of them"
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}", re.ASCII)
_VARIABLE = re.compile(r"[^\s=\0-\x1f\x7f-\x9f\ud800-\udfff-][^\s=\0-\x1f\x7f-\x9f\ud800-\udfff]*")
_DATA = re.compile(r"deploy ([1-9][0-9]{0,8})")
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*", re.ASCII)
_OWNER = re.compile(r"\d{1,9}:\d{1,9}", re.ASCII)
_MODE = re.compile(r"0?[0-7]{3,4}", re.ASCII)
_DEVICE = re.compile(r"/dev(/[A-Za-z0-9][A-Za-z0-9._-]*)+", re.ASCII)
_PUBLISHED = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
LARGEST_FILE = 64 * 1024
"""Bytes of one of a service's files."""
LEAST_MEMORY = 6 * 2**20
"""Bytes. With less no engine starts anything."""
LEAST_LOG = 64 * 2**10
UNLIMITED = -1
ULIMITS = (
    *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio"),
    *("rttime", "sigpending", "stack"),
)
CAPABILITIES = (
    *("AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN"),
    *("DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE"),
    *("LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST"),
    *("NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT"),
    *("SYS_CHROOT", "SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME"),
    *("SYS_TTY_CONFIG", "WAKE_ALARM"),
)


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


def _replicas(raw: object) -> int | Literal["global"]:
    return GLOBAL if raw == GLOBAL else _between(raw, 1, MOST_REPLICAS)


def _label(raw: object) -> str:
    return _matching(raw, _LABEL, f"should be {LABEL}")


def is_label(word: str) -> bool:
    """Whether it can be one side of a machine's label."""
    return bool(_LABEL.fullmatch(word))


def _some_time(raw: object) -> float:
    value = units.seconds(raw)
    if value < 0.001:
        raise ValueError("should be at least 1ms")
    return value


def _port(raw: object) -> int:
    return _between(raw, 1, 65535)


def _keep(raw: object) -> int:
    return _between(raw, 1, 1000)


def _data(raw: object) -> int:
    found = _DATA.fullmatch(raw) if isinstance(raw, str) else None
    if not found:
        raise ValueError('should name a deploy point, such as "deploy 3"')
    return int(found[1])


def _written_data(deploy: int) -> str:
    return f"deploy {deploy}"


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


def _flag(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise TypeError("should be true or false")
    return raw


def _known(raw: object, known: tuple[str, ...], what: str) -> str:
    if _string(raw) in known:
        return str(raw)
    close = nearest(str(raw).upper().removeprefix("CAP_") if known is CAPABILITIES else str(raw), known)
    why = f"should be {what}, is {short(raw)}" + (f"; the nearest is {close}" if close else "")
    raise Unfit("value", why, f"write {close}" if close else f"one of {', '.join(known)}")


def _ulimit_name(raw: object) -> str:
    return _known(raw, ULIMITS, "a limit of the kernel")


def _capability(raw: object) -> str:
    return _known(raw, CAPABILITIES, "a capability of the kernel")


def _ulimit(raw: object) -> tuple[int, int]:
    """Soft and hard: one number is both."""
    both = raw if isinstance(raw, list) else [raw, raw]
    if len(both) != 2:
        raise ValueError("should be one number, or a list of two, soft and hard")
    soft, hard = (_between(one, UNLIMITED, 2**63 - 1) for one in both)
    if hard != UNLIMITED and (soft == UNLIMITED or soft > hard):
        raise ValueError("should have a soft limit that is not above the hard one")
    return soft, hard


def _write_ulimit(value: tuple[int, int]) -> int | list[int]:
    return value[0] if value[0] == value[1] else list(value)


def _device(raw: object) -> str:
    return _matching(raw, _DEVICE, 'should be a device of the host, such as "/dev/fuse"')


def _cpus(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise TypeError("should be a number")
    if not 0.01 <= raw <= 1024:
        raise ValueError("should be a number of processors between 0.01 and 1024")
    return float(raw)


def _memory(raw: object) -> int:
    return _at_least(raw, LEAST_MEMORY)


def _log_size(raw: object) -> int:
    return _at_least(raw, LEAST_LOG)


def _at_least(raw: object, least: int) -> int:
    if (value := units.size(raw)) < least:
        raise ValueError(f"should be at least {units.write_size(least)}")
    return value


def _published(raw: object) -> str:
    if not _PUBLISHED.fullmatch(_string(raw)) or int(str(raw)) > 65535:
        raise ValueError("should be a port of the host, between 1 and 65535")
    return str(raw)


def _source(raw: object) -> str:
    if not _string(raw) or "\0" in str(raw) or len(str(raw)) > 1024:
        raise ValueError('should be the path of a file beside the manifest, such as "./extra.conf"')
    return str(raw)


def _content(raw: object) -> bytes:
    """A text, or `{ base64 = "…" }` for what is none."""
    if isinstance(raw, dict) and raw.keys() == {"base64"}:
        held = b64decode(_string(raw["base64"]), validate=True)
    elif isinstance(raw, str):
        held = raw.encode()
    else:
        raise TypeError('should be a text, or { base64 = "…" }')
    if len(held) > LARGEST_FILE:
        raise Unfit("too_large", f"has {len(held)} bytes, and {LARGEST_FILE} are the most", "build it into an image")
    return held


def write_content(value: bytes) -> str | dict[str, str]:
    """The content so that it is read as exactly it again."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}
    return {"base64": b64encode(value).decode()} if "\0" in text else text


Name = Annotated[str, Meta(extra={"read": _name})]
VolumeName = Annotated[str, Meta(extra={"read": _volume_name})]
SecretName = Annotated[str, Meta(extra={"read": _secret_name})]
Image = Annotated[str, Meta(extra={"read": _image})]
Variable = Annotated[str, Meta(extra={"read": _variable})]
User = Annotated[str, Meta(extra={"read": _plain_word})]
Owner = Annotated[str, Meta(extra={"read": _owner})]
Mode = Annotated[str, Meta(extra={"read": _mode})]
Port = Annotated[int, Meta(extra={"read": _port})]
Replicas = Annotated[int | Literal["global"], Meta(extra={"read": _replicas})]
Label = Annotated[str, Meta(extra={"read": _label})]
Keep = Annotated[int, Meta(extra={"read": _keep})]
Data = Annotated[int, Meta(extra={"read": _data, "write": _written_data})]
Duration = Annotated[float, Meta(extra={"read": units.seconds, "write": units.write_seconds})]
Interval = Annotated[float, Meta(extra={"read": _some_time, "write": units.write_seconds})]
Size = Annotated[int, Meta(extra={"read": units.size, "write": units.write_size})]
Memory = Annotated[int, Meta(extra={"read": _memory, "write": units.write_size})]
LogSize = Annotated[int, Meta(extra={"read": _log_size, "write": units.write_size})]
Flag = Annotated[bool, Meta(extra={"read": _flag})]
Cpus = Annotated[float, Meta(extra={"read": _cpus})]
UlimitName = Annotated[str, Meta(extra={"read": _ulimit_name})]
Ulimit = Annotated[tuple[int, int], Meta(extra={"read": _ulimit, "write": _write_ulimit})]
Capability = Annotated[str, Meta(extra={"read": _capability})]
Device = Annotated[str, Meta(extra={"read": _device})]
Published = Annotated[str, Meta(extra={"read": _published})]
Source = Annotated[str, Meta(extra={"read": _source})]
Content = Annotated[bytes, Meta(extra={"read": _content, "write": write_content})]
