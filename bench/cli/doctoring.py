"""One ``bench doctor`` from sections to exit status: look at everything, show it, count it."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bench.catalogue.checks import Check, Status, general_checks, take_stock
from bench.catalogue.rooflines import card_checks
from bench.cli.exporting import Exports, check_outputs
from bench.cli.output import open_console, write_json
from bench.cli.refusal import ENVIRONMENT, OK, STORAGE, Refusal
from bench.report.screen import say
from bench.store import StoreError

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "joulemark/doctor/1"
STYLES: dict[Status, str] = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}


@dataclass(frozen=True, slots=True)
class DoctorRequest:
    """The options of ``bench doctor`` as given."""

    profiles: bool
    verbose: bool
    json_out: str | None
    no_color: bool

    @property
    def to_stdout(self) -> bool:
        """Whether the findings alone may go to stdout."""
        return self.json_out == "-"


def run_doctor(request: DoctorRequest) -> int:
    """Everything ``bench doctor`` does: each section asked for, whatever the others find."""
    check_outputs(Exports(), request.json_out, ())
    console = open_console(request)
    found: dict[str, list[Check]] = {}
    for title in ("profiles",) if request.profiles else SECTIONS:
        found[title] = list(SECTIONS[title]())
        _show(console, title, found[title], verbose=request.verbose)
    sections = {title: [asdict(check) for check in checks] for title, checks in found.items()}
    document = {"schema": SCHEMA, **sections}
    try:
        write_json(request, json.dumps(document, indent=2) + "\n")
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error
    failed = any(check.status == "FAIL" for checks in found.values() for check in checks)
    return ENVIRONMENT if failed else OK


def profile_checks() -> Iterator[Check]:
    """The shipped profiles."""
    shelf = take_stock()
    yield from general_checks(shelf, dt.datetime.now(dt.UTC).date())
    yield from card_checks(shelf)


SECTIONS: dict[str, Callable[[], Iterator[Check]]] = {"profiles": profile_checks}
"""What is looked at, by the word that ``bench doctor --…`` has for it."""


def _show(console: Console, title: str, checks: list[Check], *, verbose: bool) -> None:
    counts = Counter(check.status for check in checks)
    total = ", ".join(f"{counts[status]} {status}" for status in STYLES)
    say(console, f"{title}: {total}")
    for check in checks:
        if verbose or check.status != "OK":
            cure = "" if check.cure is None else f"; {check.cure}"
            say(
                console, f"{check.status:<4} {check.item}: {check.text}{cure}", STYLES[check.status]
            )
