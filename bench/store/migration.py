"""Records of older schemas to the present one: written beside, never over."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.records.record import SCHEMA
from bench.store.errors import BESIDE, BadRecord
from bench.store.reading import load, parsed, read_bytes, record_of, version_of
from bench.store.record import to_json, write_new

Step = Callable[[dict[str, Any]], dict[str, Any]]
STEPS: Mapping[int, Step] = {}
"""By version: a record of it → the same of the next. ``joulemark/run/1`` is the first."""


def migrate(path: Path, steps: Mapping[int, Step] = STEPS) -> Path | None:
    """The rewritten record, beside the old one as ``NAME.run-N.json``; None: it is of this version.

    BadRecord where it cannot be read or has no step, StoreError where it cannot be written.
    """
    document = parsed(str(path), read_bytes(path))
    found, wanted = _version(path, document), version_of(SCHEMA)
    if found == wanted:
        load(path)
        return None
    for version in range(found, wanted):
        if version not in steps:
            why = f"is of version {version}, from which no step leads to {SCHEMA}"
            raise BadRecord(str(path), "schema", why, "give a record that bench wrote")
        document = steps[version](document)
    record = record_of(str(path), json.dumps({**document, "schema": SCHEMA}).encode())
    return write_new(path.with_name(f"{path.stem}.run-{wanted}.json"), to_json(record), BESIDE)


def _version(path: Path, document: dict[str, Any]) -> int:
    """At most the present one; BadRecord says what else it is."""
    schema = document.get("schema")
    prefix = SCHEMA.rpartition("/")[0]
    if not isinstance(schema, str) or not schema.startswith(f"{prefix}/"):
        raise BadRecord(str(path), "schema", f"is not {SCHEMA}", "give a record of a run")
    digits = schema.removeprefix(f"{prefix}/")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 6):
        raise BadRecord(str(path), "schema", f"is not {SCHEMA}", "give a record of a run")
    if int(digits) > version_of(SCHEMA):
        why = f"is {schema}; this version writes {SCHEMA}"
        raise BadRecord(str(path), "schema", why, "update joulemark")
    return int(digits)
