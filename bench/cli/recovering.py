"""One ``bench recover`` or ``bench migrate`` from files to exit status: what is missing is made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.cli.exporting import Exports, check_outputs
from bench.cli.output import open_console, write_json
from bench.cli.refusal import BAD_FILE, OK, STORAGE, Refusal
from bench.machine import legible
from bench.report.screen import say
from bench.store import BadRecord, StoreError, journals, migrate, recover

SCHEMA = "joulemark/repair/1"
QUIET = frozenset({"has its record", "of no run"})
"""What is no news of a journal that was found in a folder."""


@dataclass(frozen=True, slots=True)
class RepairRequest:
    """The files and folders to look at, as given."""

    places: tuple[Path, ...]
    json_out: str | None
    no_color: bool


@dataclass(frozen=True, slots=True)
class Repaired:
    """What came of one file: the outcome in words, and the record that was made."""

    file: Path
    outcome: str
    record: Path | None = None
    detail: str = ""
    failed: bool = False

    @property
    def line(self) -> str:
        """For people."""
        if self.failed:
            return f"{self.outcome}: {self.detail}"
        made = "" if self.record is None else f" → {legible(str(self.record))}"
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.outcome}: {legible(str(self.file))}{made}{detail}"


def run_recover(request: RepairRequest) -> int:
    """Everything ``bench recover`` does; a bad journal is named and the others go on."""
    named: list[Path] = []
    found: list[Path] = []
    for place in request.places:
        if os.path.isdir(place):  # Path.is_dir raises below a folder that is closed to us
            try:
                found += journals(place)
                continue
            except BadRecord:
                pass  # it is named as what cannot be opened
        named.append(place)
    return _repair(request, [*named, *found], _recovered, quiet=frozenset(found))


def run_migrate(request: RepairRequest) -> int:
    """Everything ``bench migrate`` does; a bad record is named and the others go on."""
    return _repair(request, request.places, _migrated, quiet=frozenset())


def _repair(
    request: RepairRequest,
    files: Iterable[Path],
    one: Callable[[Path], Repaired],
    quiet: frozenset[Path],
) -> int:
    check_outputs(Exports(), request.json_out, request.places)
    console = open_console(request)
    done: list[Repaired] = []
    try:
        for path in files:
            try:
                found = one(path)
            except BadRecord as error:
                found = Repaired(path, "unreadable", detail=legible(str(error)), failed=True)
            done.append(found)
            if not (path in quiet and found.outcome in QUIET):
                say(console, found.line)
        write_json(request, json.dumps([_document(each) for each in done], indent=2) + "\n")
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error
    made = sum(each.record is not None for each in done)
    say(console, f"{made} record{'' if made == 1 else 's'} made of {len(done)} looked at")
    return BAD_FILE if any(each.failed for each in done) else OK


def _recovered(path: Path) -> Repaired:
    found = recover(path)
    detail = "" if found.record is None else f"{found.status}, {found.windows} measured blocks"
    return Repaired(path, found.outcome, found.record, detail)


def _migrated(path: Path) -> Repaired:
    made = migrate(path)
    return Repaired(path, "nothing to do" if made is None else "migrated", made)


def _document(found: Repaired) -> dict[str, str | None]:
    return {
        "schema": SCHEMA,
        "file": legible(str(found.file)),
        "outcome": found.outcome,
        "record": None if found.record is None else legible(str(found.record)),
        "detail": found.detail or None,
    }
