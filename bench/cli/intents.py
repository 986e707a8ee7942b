"""What a sweep means to do to a card's power limit, on disk before it does it: whatever ends the
sweep, the next start on that card can put the limit back.

A file of one card is locked (flock) by the process that wrote it, for as long as that lives.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from bench.store import Busy, StoreError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PRIVATE = "name a private place with XDG_STATE_HOME"


@dataclass(frozen=True, slots=True)
class Intent:
    """One sweep's word: this card's limit was ``original_w`` and will be each of ``limits_w``.

    ``boot`` tells one start of the machine from the next, which no limit outlasts.
    """

    uuid: str
    original_w: float
    limits_w: tuple[float, ...]
    pid: int
    boot: str
    written_at: str

    @property
    def of_this_boot(self) -> bool:
        """Whether the machine has not been restarted since."""
        return self.boot == boot_id()


def intent_of_this_process(uuid: str, original_w: float, limits_w: tuple[float, ...]) -> Intent:
    """What this process is about to do."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return Intent(uuid, original_w, limits_w, os.getpid(), boot_id(), now)


@contextlib.contextmanager
def held(intent: Intent) -> Iterator[None]:
    """Written so that it outlasts a power cut, and locked; it stays until ``forget``.

    StoreError when it cannot be written, Busy when another living process has one.
    """
    path = _path(_own_folder(), intent.uuid)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with abandoned(intent.uuid) as left:
        if left is not None:
            text = f"restore the limit of {left.original_w:g} W first, then remove {path}"
            raise StoreError(f"an earlier sweep was killed: {text}")
    try:
        out = temporary.open("w", encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from error
    with out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX)
            json.dump(asdict(intent), out)
            out.flush()
            os.fsync(out.fileno())
            temporary.replace(path)
            _sync(path.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise _unwritable(path, error) from error
        yield


@contextlib.contextmanager
def abandoned(uuid: str) -> Iterator[Intent | None]:
    """What a process that has died meant to do to this card, locked meanwhile; None: nothing.

    Busy while the process lives, StoreError where the file is not legible. Looking creates nothing.
    """
    path = _path(_folder(), uuid)
    try:
        file = path.open("r+", encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # none, or another user's
        yield None
        return
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = "another process is sweeping this card's power limit; wait for it"
            raise Busy(text) from None
        yield _read(file, path, uuid) if _still_there(file, path) else None


def forget(uuid: str) -> None:
    """Nothing is left to put back."""
    path = _path(_folder(), uuid)
    try:
        path.unlink(missing_ok=True)
        _sync(path.parent)
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror}; remove it by hand") from error


def boot_id() -> str:
    """This start of the machine; empty where the system does not tell."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _folder() -> Path:
    root = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return root / "joulemark"


def _own_folder() -> Path:
    """The folder, made if need be; StoreError unless it is this user's alone (0700)."""
    path = _folder()
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = path.lstat()
        if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
            raise StoreError(f"{path} is not a folder of your own: {PRIVATE}")
        path.chmod(0o700)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def _path(folder: Path, uuid: str) -> Path:
    return folder / f"limit-{hashlib.sha256(uuid.encode()).hexdigest()[:16]}.json"


def _still_there(file: TextIO, path: Path) -> bool:
    """Whether the open file has not been removed or replaced before it was locked."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _read(file: TextIO, path: Path, uuid: str) -> Intent:
    try:
        data = json.loads(file.read())
        intent = Intent(
            uuid=data["uuid"],
            original_w=_watts(data["original_w"]),
            limits_w=tuple(map(_watts, data["limits_w"])),
            pid=int(data["pid"]),
            boot=str(data["boot"]),
            written_at=str(data["written_at"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        cure = "see that the card's power limit is right, then remove the file"
        raise StoreError(f"{path} is no intent of a sweep: {cure}") from error
    if intent.uuid != uuid:
        raise StoreError(f"{path} is of another card: remove it")
    return intent


def _watts(value: object) -> float:
    if not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        raise ValueError("not a power")
    return float(value)


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot write {path}: {error.strerror}; {PRIVATE}")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
