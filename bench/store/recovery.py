"""Journals whose run was killed before it could write its record, to that record."""

from __future__ import annotations

import contextlib
import fcntl
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import bench
from bench.records.journal import Event, Fact
from bench.store.errors import BESIDE, BadRecord
from bench.store.listing import has_record, run_of
from bench.store.reading import RUN_ID, read_journal
from bench.store.record import save

Outcome = Literal["recovered", "has its record", "still running", "of no run"]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What came of one journal: ``record`` is the file that was made, ``status`` its validity."""

    journal: Path
    outcome: Outcome
    record: Path | None = None
    status: str | None = None
    windows: int = 0


def recover(journal: Path) -> Recovered:
    """Write the record that a journal lacks; nothing that is there is touched.

    BadRecord when it cannot be read or gives no record, StoreError when that cannot be written.
    """
    from bench.derive import recovered  # SciPy, which a list needs not

    run_id = run_of(journal)
    with _quiet(journal) as quiet:
        if not quiet:
            return Recovered(journal, "still running")
        if has_record(journal):
            return Recovered(journal, "has its record")
        stored = read_journal(journal)
        if not _of_a_run(stored.facts):
            return Recovered(journal, "of no run")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of arithmetic on facts that no meter reports
                record = recovered(stored.facts, bench.__version__)
        except Exception as error:
            why = f"holds facts that give no record ({type(error).__name__}: {error})"
            cure = "restore the file from a copy"
            raise BadRecord(str(journal), None, why, cure) from error
        if record.run_id != run_id or not RUN_ID.fullmatch(run_id):
            why = f"is named {run_id}, but is of run {record.run_id}"
            raise BadRecord(str(journal), None, why, "give it its own name back")
        whole = replace(record, journal_sha256=stored.sha256)
        saved = save(whole, journal.parent, BESIDE)
    windows = sum(len(workload.windows) for workload in record.workloads)
    return Recovered(journal, "recovered", saved, record.validity.status, windows)


@contextlib.contextmanager
def _quiet(journal: Path) -> Iterator[bool]:
    """Whether no run and no other recovery holds the journal; it is held meanwhile."""
    try:
        handle = os.open(journal, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        why = f"cannot be opened: {error.strerror}"
        raise BadRecord(str(journal), None, why, "check the path") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    except OSError:  # a file system without locks
        yield True
    else:
        yield True
    finally:
        os.close(handle)


def _of_a_run(facts: list[Fact]) -> bool:
    """Journals of ``bench run`` and ``bench calibrate`` are kept for themselves."""
    first = facts[0] if facts else None
    return isinstance(first, Event) and first.name == "opened" and "plan" in first.data
