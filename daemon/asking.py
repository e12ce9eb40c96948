"""What is asked over HTTP, read strictly: the body of a call, the lines that follow it, or a look's query."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol, get_args

import msgspec
from msgspec import Struct

from daemon.nearest import nearest
from daemon.wire import VERSION, Call, Exec, Input, Look, Refused, Request, Run

LARGEST = 1024 * 1024
"""Bytes of a call, or of one line that follows it."""
LOOKS: Mapping[str, type[Look]] = {kind.__struct_config__.tag: kind for kind in get_args(Look) if kind is not Exec}
"""What can be asked with GET, by the last part of its path."""


class Content(Protocol):
    """The bytes of a request as they arrive; empty at their end."""

    async def readany(self) -> bytes: ...


class _Spoken(Struct, frozen=True):
    """What every version has to be able to read of a call."""

    version: int = VERSION


class Body:
    """A body, taken line by line."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._held = b""

    async def call(self) -> Call:
        """The call, on a line of its own or as the whole body. Only after an Exec or a Run may more follow.

        Raises Refused `version.mismatch`, `request.invalid` and `request.too_large`.
        """
        text = await self._line()
        try:
            call = _call(text)
        except msgspec.DecodeError:  # its JSON may go on, on further lines
            call = _whole(text + await self._rest())
        if not isinstance(call.request, Exec | Run) and (await self._rest()).strip():
            raise _invalid("something follows the call")
        return call

    async def inputs(self) -> AsyncIterator[Input]:
        """The lines that follow an Exec or a Run, as they arrive. Raises Refused as `call` does."""
        while line := await self._line():
            if line.strip():
                yield _input(line)

    async def _line(self) -> bytes:
        while b"\n" not in self._held and (more := await self._content.readany()):
            self._hold(more)
        line, end, self._held = self._held.partition(b"\n")
        return line + end

    async def _rest(self) -> bytes:
        while more := await self._content.readany():
            self._hold(more)
        rest, self._held = self._held, b""
        return rest

    def _hold(self, more: bytes) -> None:
        self._held += more
        if len(self._held) > LARGEST:
            raise Refused("request.too_large", "cannot read the request", f"it has more than {LARGEST} bytes")


def look(kind: str, query: Mapping[str, str]) -> Look:
    """The look of that kind. Raises Refused `request.unknown` and `request.invalid`."""
    if kind not in LOOKS:
        raise unknown(f"there is nothing to look at under /v1/{kind}", kind)
    try:
        return msgspec.convert(dict(query), LOOKS[kind], strict=False)
    except msgspec.ValidationError as wrong:
        raise _invalid(str(wrong)) from None


def unknown(why: str, kind: str = "") -> Refused:
    """Nobody answers this path."""
    close = nearest(kind, LOOKS)
    hint = f"GET /v1/{close}" if close else "POST /v1/call, or GET /v1/status"
    return Refused("request.unknown", "cannot answer this path", why, hint)


def kind_of(request: Request) -> str:
    """The word for a request that people know: its tag."""
    return str(type(request).__struct_config__.tag)


def _whole(text: bytes) -> Call:
    try:
        return _call(text)
    except msgspec.DecodeError as wrong:
        raise _invalid(f"it is not JSON: {wrong}") from None


def _call(text: bytes) -> Call:
    try:
        version = msgspec.json.decode(text, type=_Spoken).version
        if version != VERSION:
            raise _mismatch(version)
        return msgspec.json.decode(text, type=Call)
    except msgspec.ValidationError as wrong:
        raise _invalid(str(wrong)) from None


def _input(line: bytes) -> Input:
    try:
        return msgspec.json.decode(line, type=Input)
    except msgspec.DecodeError as wrong:
        raise _invalid(str(wrong)) from None


def _mismatch(version: int) -> Refused:
    why = f"the call speaks version {version} of the contract, and this daemon version {VERSION}"
    return Refused(
        "version.mismatch", "cannot answer this call", why, "install the same release of ployzctl and ployzd"
    )


def _invalid(why: str) -> Refused:
    return Refused("request.invalid", "cannot read the request", why)
