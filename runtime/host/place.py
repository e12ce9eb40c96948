"""Where everything about an instance on the host lies: `<folder>/<id>`, made and removed whole, in one instant."""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from runtime.instance import EngineProblem, Specification


class Recorded(Struct, frozen=True):
    """What an instance was made from, by which operation, and when (RFC 3339 UTC)."""

    specification: Specification
    by: str
    created_at: str


class State(Struct, frozen=True):
    """How its supervisor says that it goes; `exit` is the last exit code, `why` why it did not start at all."""

    status: Literal["waiting", "running", "restarting", "stopped", "failed"] = "waiting"
    supervisor: int = 0
    restarts: int = 0
    pid: int | None = None
    started_at: str | None = None
    finished_at: str | None = None
    exit: int | None = None
    why: str = ""
    out_of_memory: bool = False


@dataclass(frozen=True)
class Place:
    """The folder of one instance, there or not."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def go(self) -> Path:
        """The pipe through which its supervisor is told that everything is prepared."""
        return self.folder / "go"

    def there(self) -> bool:
        return self.folder.is_dir()

    def recorded(self) -> Recorded | None:
        """None where there is no such instance, or the folder is not ours. Raises EngineProblem."""
        try:
            return msgspec.json.decode((self.folder / "instance.json").read_bytes(), type=Recorded)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise EngineProblem(f"cannot read what {self.id} was made from ({self.folder}): {error}") from error

    def state(self) -> State | None:
        """What its supervisor wrote last; None before its first start. After a loss of power it may be unreadable."""
        try:
            return msgspec.json.decode((self.folder / "state.json").read_bytes(), type=State)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError):
            return State("stopped")

    def make(self, recorded: Recorded, files: Mapping[str, bytes]) -> bool:
        """Make it with these further files; False, and nothing is changed, where something has its name already."""
        new = self.folder.with_name(f".{self.id}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True, mode=0o700)
        os.mkfifo(new / "go", 0o600)
        contents = {"instance.json": msgspec.json.encode(recorded), **files}
        for name, content in contents.items():
            _write(new / name, content)
        try:
            os.rename(new, self.folder)  # fails on a folder with something in it
        except OSError:
            shutil.rmtree(new, ignore_errors=True)
            if self.there():
                return False
            raise
        _sync(self.folder.parent)
        return True

    def forget_state(self) -> None:
        (self.folder / "state.json").unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove it, so that it is there whole or not at all; `sweep` finishes what was cut."""
        gone = self.folder.with_name(f".{self.id}.gone")
        shutil.rmtree(gone, ignore_errors=True)
        with suppress(FileNotFoundError):
            os.rename(self.folder, gone)
        shutil.rmtree(gone, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what was on its way into or out of the folder when somebody was killed."""
    for left in folder.glob(".*"):
        shutil.rmtree(left, ignore_errors=True)


def _write(file: Path, content: bytes) -> None:
    with file.open("wb") as stream:
        os.fchmod(stream.fileno(), 0o644)  # the folder lets nobody in, but what is mounted from it is for everybody
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
