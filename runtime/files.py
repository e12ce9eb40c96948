"""Files of instances: kept on the host beside the engine, and mounted read-only into the instance they belong to."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from runtime.instance import EngineProblem, Mount


@dataclass(frozen=True)
class Files:
    """Those below `folder`, in `<id>@<operation>` for each instance, named by a digest of what they contain.

    Everything is on the disk before a verb returns. Each verb raises EngineProblem when the disk does not take it.
    """

    folder: Path

    def put(self, id: str, by: str, files: Mapping[str, bytes]) -> tuple[Mount, ...]:
        """Have them there, by the paths in the instance, and say how they are mounted. What is there is fine."""
        if not files:
            return ()
        place = self._place(id, by)
        try:
            place.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            mounts = tuple(Mount(str(_kept(place, files[at])), at, read_only=True) for at in sorted(files))
            for folder in (place, self.folder):
                _to_disk(folder)
        except OSError as error:
            raise EngineProblem(f"cannot keep the files of {id}: {error}") from error
        return mounts

    def remove(self, id: str, by: str | None = None) -> None:
        """Remove what the instance had, or only what `by` made of it. None is fine."""
        try:
            for place in [self._place(id, by)] if by else list(self.folder.glob(f"{id}@*")):
                if place.exists():
                    shutil.rmtree(place)
        except OSError as error:
            raise EngineProblem(f"cannot remove the files of {id}: {error}") from error

    def _place(self, id: str, by: str) -> Path:
        return self.folder / f"{id}@{by}"


def _kept(place: Path, content: bytes) -> Path:
    path = place / sha256(content).hexdigest()
    if not path.is_file() or path.read_bytes() != content:
        made = path.with_suffix(".new")
        made.unlink(missing_ok=True)
        made.write_bytes(content)
        made.chmod(0o444)
        _to_disk(made)
        made.replace(path)
    return path


def _to_disk(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
