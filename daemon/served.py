"""What is served, kept in files: the views of open operations, and the heads that were read last."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import msgspec

from daemon.node import ServingProblem, View
from daemon.records import Head


@dataclass(frozen=True)
class Served:
    """Files below `folder`, each replaced at one instant and on the disk before a verb returns.

    Raises ServingProblem where a file cannot be written.
    """

    folder: Path

    def views(self) -> list[View]:
        """The views of all open operations."""
        paths = sorted(self.folder.glob("*.view"))
        return [msgspec.json.decode(path.read_bytes(), type=View) for path in paths]

    def keep(self, view: View) -> None:
        """Add, or replace, an operation's view."""
        _write(self._path(view.operation), msgspec.json.encode(view))

    def forget(self, operation: str) -> None:
        """Remove an operation's view, and what a killed daemon had begun of it. None is fine."""
        for path in (self._path(operation), _begun(self._path(operation))):
            path.unlink(missing_ok=True)

    def heads(self) -> dict[str, Head] | None:
        """The heads that were remembered last; None if none ever were."""
        try:
            return msgspec.json.decode((self.folder / "heads").read_bytes(), type=dict[str, Head])
        except FileNotFoundError:
            return None

    def remember(self, heads: Mapping[str, Head]) -> None:
        """Keep the heads that are to be applied next."""
        _write(self.folder / "heads", msgspec.json.encode(heads, order="deterministic"))

    def _path(self, operation: str) -> Path:
        return self.folder / f"{quote(operation, safe='')}.view"


def _write(path: Path, content: bytes) -> None:
    if path.exists() and path.read_bytes() == content:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, content)
    except OSError as failure:
        raise ServingProblem(f"cannot keep what is served in {path}: {failure.strerror}") from failure


def _begun(path: Path) -> Path:
    return path.with_suffix(".new")


def _replace(path: Path, content: bytes) -> None:
    made = _begun(path)
    with made.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    made.replace(path)
