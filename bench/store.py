"""Journal to record: appended as it happens, synced at every block, never overwritten.

A run is two files in one folder: ``<run_id>.json``, written whole or not at all, and its journal
``<run_id>.samples.jsonl``, compressed to ``.samples.jsonl.gz`` once the record stands.
"""

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
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, TextIO

from bench.records.journal import Fact, to_line
from bench.records.record import RunRecord


class StoreError(Exception):
    """Something could not be kept, in one line: what, where, what to do."""


class Busy(Exception):  # noqa: N818 - a state of the device, not a fault
    """Another run holds the device."""


def cache_dir() -> Path:
    """The private (0700) folder for compiled kernels, locks and remembered set-up times."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = root / "joulemark"
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        why = f"cannot make the cache folder {path}: {error.strerror}"
        raise StoreError(f"{why}; name a writable place with XDG_CACHE_HOME") from error
    return path


def new_run_id(now: dt.datetime) -> str:
    """Sortable and unlikely to repeat: UTC time and six random hex digits."""
    return f"{now:%Y%m%dt%H%M%Sz}-{secrets.token_hex(3)}"


class Journal:
    """The append-only file of a run's facts; every fact is also kept for the record to be drawn."""

    def __init__(self, folder: Path, run_id: str) -> None:
        """Create the folder and the file; StoreError when either cannot be written."""
        self.run_id = run_id
        self.facts: list[Fact] = []
        self.path = folder / f"{run_id}.samples.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("x", encoding="utf-8")
        except OSError as error:
            raise StoreError(_cannot_write(folder, error)) from error

    def append(self, fact: Fact) -> None:
        """Add one line; it reaches the disk at the next ``sync``."""
        self.facts.append(fact)
        try:
            self._file.write(json.dumps(to_line(fact), allow_nan=False) + "\n")
        except OSError as error:
            raise StoreError(_cannot_write(self.path, error)) from error

    def sync(self) -> None:
        """Make all lines so far survive a crash."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StoreError(_cannot_write(self.path, error)) from error

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
        self._file.close()
        packed = self.path.with_name(self.path.name + ".gz")
        temporary = packed.with_name(f".{packed.name}.tmp")
        try:
            self._pack(temporary)
            temporary.rename(packed)
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


def save(record: RunRecord, folder: Path) -> Path:
    """Write the record beside its journal: temporary file, fsync, link; refuses to overwrite."""
    path = folder / f"{record.run_id}.json"
    temporary = folder / f".{record.run_id}.json.tmp"
    try:
        with temporary.open("w", encoding="utf-8") as out:
            out.write(to_json(record))
            out.flush()
            os.fsync(out.fileno())
        os.link(temporary, path)
        temporary.unlink()
        _sync_folder(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(_cannot_write(path, error)) from error
    return path


def to_json(record: RunRecord) -> str:
    """The record as JSON, two spaces, a newline at the end; NaN cannot occur."""
    from pydantic import TypeAdapter

    document: dict[str, Any] = TypeAdapter(RunRecord).dump_python(
        record, mode="json", by_alias=True
    )
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the record, as shipped in ``bench/schema/run-1.json``."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(RunRecord).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


@contextlib.contextmanager
def device_lock(device: str, *, wait: bool) -> Iterator[None]:
    """Hold the device for this run; Busy when another run has it and ``wait`` is false."""
    path = cache_dir() / f"{hashlib.sha256(device.encode()).hexdigest()[:16]}.lock"
    with _open_lock(path) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            text = f"{device} is in use by another run; wait for it, or add --wait"
            raise Busy(text) from None
        yield


def _open_lock(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        why = f"cannot write {path}: {error.strerror}"
        raise StoreError(f"{why}; name a writable place with XDG_CACHE_HOME") from error


def remembered_setup() -> dict[str, float]:
    """Seconds that preparing and verifying took when last run here, by workload."""
    try:
        known = json.loads((cache_dir() / "setup.json").read_text(encoding="utf-8"))
        return {str(name): float(seconds) for name, seconds in known.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def remember_setup(seconds: dict[str, float], warm: dict[str, float]) -> None:
    """Keep them for the next --dry-run; a cache that cannot be written is no error.

    A first run compiles, so what it took says nothing of the next: ``warm`` is kept instead.
    """
    known = remembered_setup()
    kept = {name: s if name in known else warm.get(name, s) for name, s in seconds.items()}
    path = cache_dir() / "setup.json"
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps({**known, **kept}), encoding="utf-8")
        temporary.replace(path)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _cannot_write(path: Path, error: OSError) -> str:
    return f"cannot write {path}: {error.strerror or error}; choose another folder with --out"
