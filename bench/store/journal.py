"""The journal of a run: appended as it happens, synced at every block, never overwritten."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import gzip
import hashlib
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Self

from bench.records.journal import Fact, to_line
from bench.store.errors import StoreError, cannot_write

JOURNAL_SUFFIX = ".samples.jsonl"


def new_run_id(now: dt.datetime) -> str:
    """Sortable and unlikely to repeat: UTC time and six random hex digits."""
    return f"{now:%Y%m%dt%H%M%Sz}-{secrets.token_hex(3)}"


class Journal:
    """The append-only file of a run's facts; every fact is also kept for the record to be drawn.

    It is locked (flock) while it is open: who finds it unlocked knows that its run has ended.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        """Create the folder and the file; StoreError when either cannot be written."""
        self.run_id = run_id
        self.facts: list[Fact] = []
        self.path = folder / f"{run_id}{JOURNAL_SUFFIX}"
        self._sha256 = hashlib.sha256()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("x", encoding="utf-8")
        except OSError as error:
            raise StoreError(cannot_write(folder, error)) from error
        try:
            sync_folder(folder)
        except OSError as error:
            self.__exit__()
            raise StoreError(cannot_write(folder, error)) from error
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def append(self, fact: Fact) -> None:
        """Add one line; it reaches the disk at the next ``sync``."""
        self.facts.append(fact)
        line = json.dumps(to_line(fact), allow_nan=False) + "\n"
        self._sha256.update(line.encode())
        try:
            self._file.write(line)
        except OSError as error:
            raise StoreError(cannot_write(self.path, error)) from error

    def sync(self) -> None:
        """Make all lines so far survive a crash."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StoreError(cannot_write(self.path, error)) from error

    def sha256(self) -> str:
        """Hex SHA-256 of all lines so far, as the file holds them before it is compressed."""
        return self._sha256.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file; one that nothing was written to is not left behind."""
        with contextlib.suppress(OSError):  # told by the append or sync that met it first
            self._file.close()
        if not self.facts:
            self.path.unlink(missing_ok=True)

    def compress(self) -> Path:
        """Replace the journal by its .gz, atomically; without room for both it stays as it is."""
        packed = self.path.with_name(self.path.name + ".gz")
        temporary = packed.with_name(f".{packed.name}.tmp")
        try:
            self._file.close()
            self._pack(temporary)
            temporary.rename(packed)
            sync_folder(packed.parent)
        except OSError:
            temporary.unlink(missing_ok=True)
            return self.path
        self.path.unlink()
        return packed

    def _pack(self, temporary: Path) -> None:
        with self.path.open("rb") as plain, temporary.open("wb") as raw:
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as out:
                shutil.copyfileobj(plain, out)
            raw.flush()
            os.fsync(raw.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in it survive a power cut; OSError when that cannot be had."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
