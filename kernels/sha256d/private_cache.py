"""Files that are costly to make again, in a folder that this user alone can read and write.

What is loaded from here runs on the device, so a folder that others could write is refused.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path


@functools.cache
def folder(kind: str = "cuda") -> Path:
    """``$XDG_CACHE_HOME/joulemark/KIND`` (0700), or one for this process where that cannot be."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = root / "joulemark" / kind
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.mkdir(exist_ok=True, mode=0o700)
        if _private(path):
            return path
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="joulemark-"))


def _private(path: Path) -> bool:
    """Whether it is a folder of this user's, no link, that nobody else may enter."""
    facts = path.lstat()
    ours = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()
    return ours and stat.S_IMODE(facts.st_mode) & 0o077 == 0


def digest(*parts: str | bytes) -> str:
    """The key of what is made from these parts: sha256 over each with its length."""
    state = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        state.update(len(raw).to_bytes(8, "little") + raw)
    return state.hexdigest()


def kept(name: str, make: Callable[[], bytes]) -> Path:
    """The file of that name, made now if it is not there; written whole or not at all."""
    path = folder() / name
    if not path.is_file():
        _write(path, make())
    return path


def _write(path: Path, content: bytes) -> None:
    handle, written = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(written).replace(path)
    except BaseException:
        Path(written).unlink()
        raise
