"""Files that hold secrets: written at once and for good, readable by their owner only from the first moment on."""

import os
from pathlib import Path


def write_secret(file: Path, content: bytes) -> None:
    """Make the file, or replace it. Its folder is made where it is missing. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)
