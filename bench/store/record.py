"""Derived figures to the record: written whole or not at all, never overwritten."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.records.record import RunRecord
from bench.store.errors import StoreError, cannot_write

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def save(record: RunRecord, folder: Path) -> Path:
    """Write the record beside its journal: temporary file, fsync, link; refuses to overwrite."""
    path = folder / f"{record.run_id}.json"
    temporary = folder / f".{record.run_id}.json.tmp"
    data = to_json(record).encode()
    try:
        with temporary.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.link(temporary, path)
        temporary.unlink()
        _sync_folder(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(cannot_write(path, error)) from error
    return path


def to_json(record: RunRecord) -> str:
    """The record as JSON, two spaces, a newline at the end; NaN cannot occur."""
    return json.dumps(to_object(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_object(record: RunRecord) -> dict[str, Any]:
    """The record as plain JSON values."""
    document: dict[str, Any] = record_adapter().dump_python(record, mode="json", by_alias=True)
    return document


@cache
def record_adapter() -> TypeAdapter[RunRecord]:
    """What validates and dumps records; it takes longer to build than to use."""
    from pydantic import TypeAdapter

    return TypeAdapter(RunRecord)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the record, as shipped in ``bench/schema/run-1.json``."""
    schema = record_adapter().json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
