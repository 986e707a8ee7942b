"""One ``bench report`` from files to exit status: read records and journals, write one page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.book import Book, open_book
from bench.cli.exporting import Exports, check_outputs
from bench.cli.output import open_console, write_whole
from bench.cli.refusal import BAD_FILE, ENVIRONMENT, OK, STORAGE, Refusal
from bench.cli.uncollected import uncollected
from bench.machine import legible
from bench.records.record import RunRecord
from bench.report.dossier import NO_JOURNAL, Dossier, dossier
from bench.report.exports import MissingWriter
from bench.report.page import render
from bench.report.screen import counting, say
from bench.store import BadRecord, find_journal, load, read_journal

if TYPE_CHECKING:
    from rich.console import Console

OTHER_JOURNAL = (
    "The journal beside the record is not the one that it was drawn from (its sha256 differs), so"
    " its power over time is not shown."
)


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """The options of ``bench report`` as given."""

    files: tuple[Path, ...]
    html: Path | None
    no_color: bool
    json_out: str | None = None

    @property
    def page(self) -> Path:
        """Where the page goes: as asked, else beside the first record under its name."""
        return self.html or self.files[0].with_suffix(".html")


@uncollected()
def run_report(request: ReportRequest) -> int:
    """Everything ``bench report`` does; a bad file is named and the others go on."""
    check_outputs(Exports(html=request.page), None, request.files)
    console = open_console(request)
    with counting(console, "Reading runs, drawing the page", len(request.files) + 1) as done:
        found = list(_dossiers(request.files, console, done))
        if found:
            _write(request.page, found)
    if found:
        say(console, f"Saved {legible(str(request.page))}")
    return OK if len(found) == len(request.files) else BAD_FILE


def _dossiers(
    files: tuple[Path, ...], console: Console, done: Callable[[], None]
) -> Iterator[Dossier]:
    for path in files:
        try:
            record = load(path)
            book, why = _book(path, record)
        except BadRecord as error:
            say(console, f"unreadable: {legible(str(error))}")
            continue
        if book is None:
            say(console, f"{legible(str(path))}: {why}")
        yield dossier(record, book, why)
        done()


def _book(path: Path, record: RunRecord) -> tuple[Book | None, str]:
    """The run's journal sorted, or null and why."""
    place = find_journal(path, record.run_id)
    if place is None:
        return None, NO_JOURNAL
    journal = read_journal(place)
    if record.journal_sha256 not in (None, journal.sha256):
        return None, OTHER_JOURNAL
    return open_book(journal.facts), ""


def _write(page: Path, found: list[Dossier]) -> None:
    try:
        write_whole(page, render(found))
    except MissingWriter as error:
        raise Refusal(ENVIRONMENT, str(error)) from error
    except OSError as error:
        why = f"cannot write {legible(str(page))}: {error.strerror}; name another file"
        raise Refusal(STORAGE, f"{why} with --html") from error
