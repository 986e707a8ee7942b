"""One run at a time per device, whoever starts it: locks lie where all users of a machine meet.

A lock is an empty file that anyone may open for reading and lock (flock); the kernel lets go of it
when its holder dies, however that comes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.store.cache import cache_dir
from bench.store.errors import Busy, StoreError

NAMED = "JOULEMARK_LOCK_DIR"
SHARED = (Path("/run/lock"), Path("/tmp"))
STICKY = stat.S_ISVTX | stat.S_IWOTH
TRIES = 100
ALONE = "only your own runs are kept off the device"


@contextlib.contextmanager
def device_lock(device: str, *, wait: bool) -> Iterator[str | None]:
    """Hold the device for this run; Busy when another run has it and ``wait`` is false.

    Yields None, or why other users of the machine are not kept out.
    """
    name = f"joulemark-{hashlib.sha256(device.encode()).hexdigest()[:16]}.lock"
    place, note = _place(name)
    handle = _locked(place, device, wait=wait)
    try:
        yield note
    finally:
        os.close(handle)


def lock_folder() -> Path | None:
    """Where locks lie: the folder named by JOULEMARK_LOCK_DIR, else the first that every user of
    the machine may write and none may clear; None where there is none."""
    named = os.environ.get(NAMED)
    if named:
        return Path(named)
    return next((folder for folder in SHARED if _for_all(folder)), None)


def _for_all(folder: Path) -> bool:
    """The same answer for every user, root too: else they would meet in different folders."""
    try:
        return folder.stat().st_mode & STICKY == STICKY
    except OSError:
        return False


def _place(name: str) -> tuple[Path, str | None]:
    """The lock's file; one of this user's own, and why, where the shared one cannot be had."""
    folder = lock_folder()
    if folder is None:
        why = f"neither {SHARED[0]} nor {SHARED[1]} is open to all users"
        return cache_dir() / name, f"{ALONE} ({why})"
    place = folder / name
    try:
        os.close(_file(place))
    except OSError as error:
        why = f"{place} cannot be used: {error.strerror}"
        if os.environ.get(NAMED):
            cure = f"name a folder you can write with {NAMED}"
            raise StoreError(f"the lock {why}; {cure}") from error
        return cache_dir() / name, f"{ALONE} ({why})"
    return place, None


def _file(path: Path) -> int:
    """The file opened for reading, made if need be; OSError unless it is a plain file.

    Links are not followed, nothing is written, and what is made appears under its name with its
    final mode: a file that another user has made serves as well as one's own.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for _ in range(TRIES):
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(path, flags)
            if stat.S_ISREG(os.fstat(handle).st_mode):
                return handle
            os.close(handle)
            raise OSError(errno.EINVAL, "it is not a plain file")
        with contextlib.suppress(FileExistsError):
            _make(path)
    raise OSError(errno.EAGAIN, "it comes and goes")


def _make(path: Path) -> None:
    if os.environ.get(NAMED):
        path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}-")
    try:
        os.fchmod(handle, 0o644)
        os.link(temporary, path)
    finally:
        os.close(handle)
        Path(temporary).unlink()


def _locked(place: Path, device: str, *, wait: bool) -> int:
    """The file, locked, that bears the name by then."""
    while True:
        try:
            handle = _file(place)
        except OSError as error:
            why = f"the lock {place} cannot be used: {error.strerror}"
            raise StoreError(f"{why}; name a folder you can write with {NAMED}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if os.path.samestat(os.fstat(handle), place.lstat()):
                return handle
        except BlockingIOError:
            os.close(handle)
            text = f"{device} is in use by another run; wait for it, or add --wait"
            raise Busy(text) from None
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
