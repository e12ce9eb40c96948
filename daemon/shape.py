"""Whether a tree of plain data has the shape of a Struct; everything that does not fit is named, path first."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct, inspect

from daemon.nearest import nearest

Path = tuple[str, ...]
Asides = Mapping[type[Struct], Mapping[str, "Unfit"]]
_SHOWN = 60
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_LARGEST_INTEGER = 2**63 - 1


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: its kind (the last word of the code), where, why, and what to write instead."""

    code: str
    path: Path
    why: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{where(self.path)}: {self.why}"


class Unfit(ValueError):
    """What a reader says of a value that it does not take, where neither `type` nor `value` is the code."""

    def __init__(self, code: str, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.code, self.hint = code, hint


def where(path: Path) -> str:
    """`services.web.port`; keys that are no bare words are quoted."""
    return ".".join(key if _BARE.fullmatch(key) else short(key) for key in path) or "the whole of it"


@dataclass
class Fitting:
    """One tree being read. A field's type may carry `Meta(extra={"read": f})`: f then makes its value, or raises
    TypeError, ValueError or Unfit. `asides` says of keys that are no fields why they are none.
    """

    asides: Asides = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def fit(self, raw: object, wanted: inspect.Type, path: Path = ()) -> Any:
        """The value with its readers applied, of use only if no fault was found."""
        match wanted:
            case inspect.Metadata(type=inner, extra=extra):
                return self._read(raw, extra["read"], path) if extra else self.fit(raw, inner, path)
            case inspect.UnionType(types=types):
                return self.fit(raw, next(one for one in types if not isinstance(one, inspect.NoneType)), path)
            case inspect.StructType():
                return dict(self._fields(raw, wanted, path))
            case inspect.DictType():
                return dict(self._entries(raw, wanted, path))
            case inspect.VarTupleType(item_type=item):
                return tuple(self.fit(one, item, (*path, str(at))) for at, one in enumerate(self._list(raw, path)))
            case inspect.LiteralType(values=values):
                return self._choice(raw, values, path)
            case _:
                return self._scalar(raw, wanted, path)

    def _fields(self, raw: object, wanted: inspect.StructType, path: Path) -> Iterator[tuple[str, Any]]:
        table = self._table(raw, path)
        fields = {one.encode_name: one for one in wanted.fields}
        for key, value in table.items():
            if known := fields.get(key):
                yield key, self.fit(value, known.type, (*path, key))
            else:
                self._strange(key, wanted, path)
        for missing in (one.encode_name for one in wanted.fields if one.required and one.encode_name not in table):
            if isinstance(raw, dict):
                self._fault("missing", (*path, missing), "is missing")

    def _strange(self, key: str, wanted: inspect.StructType, path: Path) -> None:
        if aside := self.asides.get(wanted.cls, {}).get(key):
            self._fault(aside.code, (*path, key), str(aside), aside.hint)
            return
        close = nearest(key, (one.encode_name for one in wanted.fields))
        why = "is unknown here" + (f"; the nearest known key is {close}" if close else "")
        self._fault("unknown_key", (*path, key), why, f"write {where((*path, close))}" if close else "")

    def _entries(self, raw: object, wanted: inspect.DictType, path: Path) -> Iterator[tuple[str, Any]]:
        for key, value in self._table(raw, path).items():
            yield self.fit(key, wanted.key_type, (*path, key)), self.fit(value, wanted.value_type, (*path, key))

    def _table(self, raw: object, path: Path) -> dict[str, Any]:
        if isinstance(raw, dict):
            return raw
        self._mistyped("a table", raw, path)
        return {}

    def _list(self, raw: object, path: Path) -> list[Any]:
        if isinstance(raw, list):
            return raw
        self._mistyped("a list", raw, path)
        return []

    def _choice(self, raw: object, values: tuple[object, ...], path: Path) -> object:
        if not isinstance(raw, str):
            self._mistyped("a string", raw, path)
        elif raw not in values:
            choices = " or ".join(f'"{value}"' for value in values)
            self._fault("value", path, f"should be {choices}, is {short(raw)}")
        return raw

    def _scalar(self, raw: object, wanted: inspect.Type, path: Path) -> object:
        if isinstance(wanted, inspect.StrType):
            return self._string(raw, path)
        if isinstance(raw, bool) or not isinstance(raw, int):
            self._mistyped("an integer", raw, path)
        elif abs(raw) > _LARGEST_INTEGER:
            self._fault("value", path, "should be an integer of at most 64 bits")
        return raw

    def _string(self, raw: object, path: Path) -> object:
        if not isinstance(raw, str):
            hint = f'{where(path)} = "{short(raw)}"' if isinstance(raw, int | float) else ""
            self._mistyped("a string" + (", in quotes" if hint else ""), raw, path, hint)
        elif "\0" in raw or any("\ud800" <= letter <= "\udfff" for letter in raw):
            self._fault("value", path, "holds a character that is not allowed in a text")
        return raw

    def _read(self, raw: object, reader: Any, path: Path) -> Any:
        try:
            return reader(raw)
        except Unfit as unfit:
            self._fault(unfit.code, path, str(unfit), unfit.hint)
        except TypeError as mistyped:
            self._mistyped(str(mistyped).removeprefix("should be "), raw, path)
        except ValueError as wrong:
            self._fault("value", path, f"{wrong}, is {short(raw)}")
        return raw

    def _mistyped(self, wanted: str, raw: object, path: Path, hint: str = "") -> None:
        self._fault("type", path, f"should be {wanted}, is {short(raw)}", hint)

    def _fault(self, code: str, path: Path, why: str, hint: str = "") -> None:
        self.faults.append(Fault(code, path, why, hint))


def short(raw: object) -> str:
    """A value as an error shows it: on one line, in ASCII, and never much of it."""
    if isinstance(raw, dict | list):
        return "a table" if isinstance(raw, dict) else "a list"
    text = json.dumps(raw, default=str) if not isinstance(raw, int) or abs(raw) < 10**20 else "a large number"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
