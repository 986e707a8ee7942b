"""One ``bench list`` or ``bench show`` from folders to exit status: find, choose, show."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.cli.exporting import Exports, check_outputs
from bench.cli.output import open_console, write_json
from bench.cli.refusal import BAD_FILE, OK, STORAGE, USAGE, Refusal
from bench.cli.uncollected import uncollected
from bench.machine import legible
from bench.records.listed import Row
from bench.report.runs import account, lines
from bench.report.screen import say
from bench.store import BadRecord, Shelf, StoreError, in_folder, load, shelve, to_json

SCHEMA = "joulemark/list/1"
DAYS = re.compile(r"([0-9]{1,5})d")
RUN_PREFIX = re.compile(r"[0-9a-z-]{1,64}")
NAMED = 5
"""So many runs are named where a prefix fits several."""


@dataclass(frozen=True, slots=True)
class ListRequest:
    """The options of ``bench list`` as given."""

    places: tuple[Path, ...]
    device: str | None
    workload: str | None
    since: str | None
    status: str | None
    limit: int
    json_out: str | None
    no_color: bool


@dataclass(frozen=True, slots=True)
class ShowRequest:
    """The options of ``bench show`` as given."""

    run: str
    folder: Path
    json_out: str | None
    no_color: bool


@uncollected()
def run_list(request: ListRequest) -> int:
    """Everything ``bench list`` does; a bad file is named and the others go on."""
    if request.limit < 0:
        raise Refusal(USAGE, f"--limit {request.limit}: use a number of runs, or 0 for all")
    since = _moment(request.since)
    check_outputs(Exports(), request.json_out, request.places)
    console = open_console(request)
    shelf = shelve(request.places)
    chosen = [row for row in shelf.rows if _wanted(row, request, since)]
    shown = chosen[: request.limit or None]
    for line in lines(shown, console.width if console.is_terminal else None):
        console.file.write(f"{line}\n")  # cleaned; a thousand lines need no layout
    for note in _notes(request, shelf, len(chosen), len(shown)):
        say(console, note)
    try:
        write_json(request, json.dumps(_document(shelf, shown), indent=2, allow_nan=False) + "\n")
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error
    return BAD_FILE if shelf.unreadable else OK


def run_show(request: ShowRequest) -> int:
    """Everything ``bench show`` does."""
    path = find_run(request.run, request.folder)
    check_outputs(Exports(), request.json_out, (path,))
    console = open_console(request)
    try:
        record = load(path)
    except BadRecord as error:
        raise Refusal(BAD_FILE, legible(str(error))) from error
    account(record, path, console)
    try:
        write_json(request, to_json(record))
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error
    return OK


def _moment(text: str | None) -> dt.datetime | None:
    """A date or time, of UTC where it names no zone, or so many days ago."""
    if text is None:
        return None
    if (days := DAYS.fullmatch(text)) is not None:
        return dt.datetime.now(dt.UTC) - dt.timedelta(days=int(days[1]))
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        cure = "use a date such as 2026-11-01, or days such as 7d"
        raise Refusal(USAGE, f"--since {legible(text)}: {cure}") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)


def _wanted(row: Row, request: ListRequest, since: dt.datetime | None) -> bool:
    return (
        (request.device is None or request.device.casefold() in row.device.casefold())
        and (request.workload is None or any(w.name == request.workload for w in row.works))
        and (request.status is None or row.status == request.status)
        and (since is None or dt.datetime.fromisoformat(row.started_at) >= since)
    )


def _notes(request: ListRequest, shelf: Shelf, chosen: int, shown: int) -> Iterator[str]:
    if not chosen:
        places = ", ".join(legible(str(place)) for place in request.places)
        of = f"none of {len(shelf.rows)} is such" if shelf.rows else "bench all makes one"
        yield f"no run in {places}: {of}"
    if chosen > shown:
        yield f"{chosen - shown} older: --limit 0 shows all"
    for error in shelf.unreadable:
        yield f"unreadable: {legible(str(error))}"
    if shelf.orphans:
        count, first = len(shelf.orphans), legible(str(shelf.orphans[0]))
        yield f"without a record: {first}{f' and {count - 1} more' if count > 1 else ''};" + (
            " bench recover rebuilds those of killed runs"
        )


def _document(shelf: Shelf, shown: list[Row]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "runs": [asdict(row) for row in shown],
        "unreadable": [legible(str(error)) for error in shelf.unreadable],
        "without_record": [legible(str(path)) for path in shelf.orphans],
    }


def find_run(run: str, folder: Path) -> Path:
    """The file meant: as a path, else as the beginning of one run's id in the folder."""
    named = Path(run)
    if named.suffix == ".json" or os.path.isfile(named):
        return named
    if not RUN_PREFIX.fullmatch(run):
        raise Refusal(USAGE, f"{legible(run)}: give a record's file or a run id's beginning")
    try:
        fits = [path for path in in_folder(folder) if path.stem.startswith(run)]
    except BadRecord as error:
        raise Refusal(BAD_FILE, legible(str(error))) from error
    fits = [path for path in fits if RUN_PREFIX.fullmatch(path.stem)]
    if len(fits) == 1:
        return fits[0]
    where = legible(str(folder))
    if not fits:
        text = f"no run in {where} begins so; bench list {where} names them"
        raise Refusal(BAD_FILE, f"{run}: {text}")
    which = ", ".join(path.stem for path in fits[:NAMED])
    more = ", …" if len(fits) > NAMED else ""
    raise Refusal(USAGE, f"{run}: fits {len(fits)} runs, say which: {which}{more}")
