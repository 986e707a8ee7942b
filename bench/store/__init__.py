"""Journal to record and back: appended as it happens, written whole, never overwritten.

A run is two files in one folder: ``<run_id>.json``, written whole or not at all, and its journal
``<run_id>.samples.jsonl``, compressed to ``.samples.jsonl.gz`` once the record stands.
"""

from bench.store.cache import (
    cache_dir,
    device_lock,
    remember_kernel,
    remember_setup,
    remembered_kernel,
    remembered_setup,
)
from bench.store.errors import BadRecord, Busy, StoreError
from bench.store.journal import Journal, new_run_id
from bench.store.reading import StoredJournal, find_journal, load, load_journal, read_journal
from bench.store.record import json_schema, save, to_json, to_object

__all__ = [
    "BadRecord",
    "Busy",
    "Journal",
    "StoreError",
    "StoredJournal",
    "cache_dir",
    "device_lock",
    "find_journal",
    "json_schema",
    "load",
    "load_journal",
    "new_run_id",
    "read_journal",
    "remember_kernel",
    "remember_setup",
    "remembered_kernel",
    "remembered_setup",
    "save",
    "to_json",
    "to_object",
]
