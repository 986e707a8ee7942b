"""One ``bench verify`` from files to exit status: load, derive again, compare, say what differs."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import bench
from bench.cli.exporting import Exports, check_outputs
from bench.cli.output import open_console, write_json
from bench.cli.refusal import BAD_FILE, OK, STORAGE, Refusal
from bench.derive import rederived
from bench.machine import legible
from bench.records.record import RunRecord
from bench.report.differences import Difference, differences, lines
from bench.report.screen import counting, say
from bench.store import (
    BadRecord,
    StoredJournal,
    StoreError,
    find_journal,
    load,
    read_journal,
    to_object,
)

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "joulemark/verify/1"


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """The options of ``bench verify`` as given."""

    files: tuple[Path, ...]
    json_out: str | None
    no_color: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one file; ``error`` says why it could not be read or derived again."""

    file: str
    status: Literal["verified", "different", "unreadable"]
    derived_by: str | None = None
    facts: int = 0
    differences: tuple[Difference, ...] = ()
    error: str | None = None


def run_verify(request: VerifyRequest) -> int:
    """Everything ``bench verify`` does; every file is looked at, whatever the others hold."""
    check_outputs(Exports(), request.json_out, request.files)
    console = open_console(request)
    found = []
    with counting(console, "Deriving runs again", len(request.files)) as done:
        for path in request.files:
            found.append(verify(path))
            _show(found[-1], console)
            done()
    try:
        write_json(request, json.dumps(_document(found), indent=2) + "\n")
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error
    return OK if all(each.status == "verified" for each in found) else BAD_FILE


def verify(path: Path) -> Finding:
    """One record against its journal."""
    file = legible(str(path))
    try:
        record = load(path)
        place = find_journal(path, record.run_id)
        if place is None:
            missing = Difference("journal", f"{record.run_id}.samples.jsonl", "absent")
            return Finding(file, "different", record.software.derived_by, 0, (missing,))
        journal = read_journal(place)
        expected = _again(record, journal)
    except BadRecord as error:
        return Finding(file, "unreadable", error=legible(str(error)))
    found = tuple(differences(to_object(record), to_object(expected)))
    status: Literal["different", "verified"] = "different" if found else "verified"
    return Finding(file, status, record.software.derived_by, len(journal.facts), found)


def _again(record: RunRecord, journal: StoredJournal) -> RunRecord:
    """The record as it should be; BadRecord where the journal's facts make no sense together."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of arithmetic on facts that no meter reports
            expected = rederived(record, journal.facts)
    except Exception as error:
        why = f"holds facts that give no record ({type(error).__name__}: {error})"
        raise BadRecord(str(journal.path), None, why, "restore the file from a copy") from error
    return replace(expected, journal_sha256=journal.sha256)


def _show(finding: Finding, console: Console) -> None:
    for line in _lines(finding):
        say(console, line)


def _lines(finding: Finding) -> Iterator[str]:
    if finding.error is not None:
        yield f"unreadable: {finding.error}"
        return
    other = finding.derived_by != bench.__version__
    by = (
        f"; recorded by {finding.derived_by}, derived again by {bench.__version__}" if other else ""
    )
    if finding.status == "verified":
        yield f"verified: {finding.file}: {finding.facts} facts give every figure{by}"
        return
    count = len(finding.differences)
    yield f"different: {finding.file}: {count} difference{'s' if count > 1 else ''}{by}"
    yield from lines(finding.differences)


def _document(found: list[Finding]) -> dict[str, Any]:
    files = [asdict(each) for each in found]
    return {"schema": SCHEMA, "derived_again_by": bench.__version__, "files": files}
