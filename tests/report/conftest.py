"""A standard run of a simulated card, made once: its record's file, the journal beside it."""

import os
from pathlib import Path

import pytest

from bench.book import open_book
from bench.cli import run
from bench.store import find_journal, load, load_journal


@pytest.fixture(scope="session")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    try:
        out = ["--out", str(folder / "runs")]
        assert run(["all", "--device", "sim:h100", "--seed", "7", *out]) == 0
    finally:
        os.environ.pop("XDG_CACHE_HOME")
        if before is not None:
            os.environ["XDG_CACHE_HOME"] = before
    (record,) = (folder / "runs").glob("*.json")
    return Path(record)


@pytest.fixture(scope="session")
def record(stored):
    return load(stored)


@pytest.fixture(scope="session")
def book(stored, record):
    return open_book(load_journal(find_journal(stored, record.run_id)))
