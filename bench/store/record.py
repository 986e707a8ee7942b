"""Derived figures to the record: written whole or not at all, never overwritten."""

from __future__ import annotations

import json
import os
import secrets
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.records.record import RunRecord
from bench.store.errors import OUT, StoreError, cannot_write
from bench.store.journal import sync_folder

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def save(record: RunRecord, folder: Path, cure: str = OUT) -> Path:
    """Write the record beside its journal: temporary file, fsync, link; refuses to overwrite."""
    return write_new(folder / f"{record.run_id}.json", to_json(record), cure)


def write_new(path: Path, text: str, cure: str) -> Path:
    """A file that was not there before, whole or not at all; StoreError says why not, and cure."""
    folder, data = path.parent, text.encode()
    temporary = folder / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        with temporary.open("xb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.link(temporary, path)
        temporary.unlink()
        sync_folder(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(cannot_write(path, error, cure)) from error
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
