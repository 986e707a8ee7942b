"""Files that are costly to make again, in a folder that this user alone can read and write.

What is loaded from here runs on the device, so a folder that others could write is refused.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

_CHOSEN: dict[str, Path] = {}
"""This process's folders by kind, once they were asked for."""


def folder(kind: str = "cuda") -> Path:
    """``$XDG_CACHE_HOME/joulemark/KIND`` (0700), or one for this process where that cannot be."""
    if kind not in _CHOSEN:
        _CHOSEN[kind] = _found(kind) or _passing()
    return _CHOSEN[kind]


def use(place: Path) -> None:
    """Take the folder of CUDA binaries of the process that started this one."""
    _CHOSEN["cuda"] = place


def _found(kind: str) -> Path | None:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = root / "joulemark" / kind
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.mkdir(exist_ok=True, mode=0o700)
        return path if _private(path) and os.access(path, os.W_OK | os.X_OK) else None
    except OSError:
        return None


def _passing() -> Path:
    """A folder that goes with this process."""
    path = Path(tempfile.mkdtemp(prefix="joulemark-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


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


def kept(names: Sequence[str], make: Callable[[], Sequence[bytes]]) -> list[Path]:
    """The files of those names, all made now if one of them is not there or not whole.

    A file carries the hash of its content in its name, so that one cut short or altered is told and
    made again. OSError where the folder takes no more.
    """
    found = [_whole(name) for name in names]
    if None in found:
        found = [_write(name, content) for name, content in zip(names, make(), strict=True)]
    return [path for path in found if path is not None]


def known(name: str) -> bool:
    """Whether the file of that name is there and whole."""
    return _whole(name) is not None


def _whole(name: str) -> Path | None:
    stem, _, suffix = name.rpartition(".")
    for path in sorted(folder().glob(f"{stem}-*.{suffix}")):
        if path.is_file() and path.name == _named(name, path.read_bytes()):
            return path
    return None


def _named(name: str, content: bytes) -> str:
    stem, _, suffix = name.rpartition(".")
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}.{suffix}"


def _write(name: str, content: bytes) -> Path:
    """Written whole or not at all."""
    path = folder() / _named(name, content)
    handle, written = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(written).replace(path)
    except BaseException:
        Path(written).unlink()
        raise
    return path
