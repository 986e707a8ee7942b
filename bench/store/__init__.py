"""Journal to record and back: appended as it happens, written whole, never overwritten.

A run is two files in one folder: ``<run_id>.json``, written whole or not at all, and its journal
``<run_id>.samples.jsonl``, compressed to ``.samples.jsonl.gz`` once the record stands.
"""

from bench.store.cache import (
    cache_dir,
    cache_place,
    remember_kernel,
    remember_setup,
    remembered_kernel,
    remembered_setup,
)
from bench.store.compute_card import card_json, card_schema
from bench.store.errors import BadRecord, Busy, StoreError
from bench.store.journal import Journal, new_run_id
from bench.store.listing import Shelf, in_folder, journals, shelve
from bench.store.lock import device_lock, lock_folder
from bench.store.migration import migrate
from bench.store.reading import StoredJournal, find_journal, load, load_journal, read_journal
from bench.store.record import json_schema, save, to_json, to_object
from bench.store.recovery import Recovered, recover

__all__ = [
    "BadRecord",
    "Busy",
    "Journal",
    "Recovered",
    "Shelf",
    "StoreError",
    "StoredJournal",
    "cache_dir",
    "cache_place",
    "card_json",
    "card_schema",
    "device_lock",
    "find_journal",
    "in_folder",
    "journals",
    "json_schema",
    "load",
    "load_journal",
    "lock_folder",
    "migrate",
    "new_run_id",
    "read_journal",
    "recover",
    "remember_kernel",
    "remember_setup",
    "remembered_kernel",
    "remembered_setup",
    "save",
    "shelve",
    "to_json",
    "to_object",
]
