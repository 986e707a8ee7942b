"""One ``bench doctor`` from sections to exit status: look at everything, show it, count it."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.catalogue.checks import Shelf, general_checks, take_stock
from bench.catalogue.rooflines import card_checks
from bench.cli.exporting import Exports, check_outputs
from bench.cli.output import open_console, write_json
from bench.cli.refusal import ENVIRONMENT, OK, STORAGE, Refusal
from bench.records.check import Check, CheckStatus
from bench.report.screen import say
from bench.store import StoreError

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "joulemark/doctor/1"
STYLES: dict[CheckStatus, str] = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}
ABILITY = "here"
"""The section of which every line is shown: what the machine can do."""
PROFILES = "profiles"
MARKET = "default"
"""The market that a verdict takes when none is named."""


@dataclass(frozen=True, slots=True)
class DoctorRequest:
    """The options of ``bench doctor`` as given; ``out`` is the folder that runs would write to."""

    profiles: bool
    verbose: bool
    out: Path
    json_out: str | None
    no_color: bool


def run_doctor(request: DoctorRequest) -> int:
    """Everything ``bench doctor`` does: each section asked for, whatever the others find."""
    check_outputs(Exports(), request.json_out, ())
    console = open_console(request)
    found: dict[str, list[Check]] = {}
    for title, checks in _sections(request):
        found[title] = checks
        _show(console, title, checks, _shown(request, title))
    sections = {title: [asdict(check) for check in checks] for title, checks in found.items()}
    document = {"schema": SCHEMA, **sections}
    try:
        write_json(request, json.dumps(document, indent=2) + "\n")
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error
    failed = any(check.status == "FAIL" for checks in found.values() for check in checks)
    return ENVIRONMENT if failed else OK


def _sections(request: DoctorRequest) -> Iterator[tuple[str, list[Check]]]:
    if not request.profiles:
        yield from _machine(request.out)
    shelf = take_stock()
    today = dt.datetime.now(dt.UTC).date()
    if not request.profiles:
        yield "prices", list(_prices(shelf, today))
    yield PROFILES, [*general_checks(shelf, today), *card_checks(shelf)]


def _machine(out: Path) -> Iterator[tuple[str, list[Check]]]:
    """The machine as it is, section by section."""
    from bench.doctor import examine
    from bench.symptoms import gather

    yield from examine(gather(out)).items()


def _prices(shelf: Shelf, today: dt.date) -> Iterator[Check]:
    """The age of the default market's prices; a market that cannot be read is a profile's fault."""
    from bench.doctor.places import price_checks
    from bench.verdict.ages import market_ages

    if (market := shelf.markets.get(MARKET)) is not None:
        yield from price_checks(MARKET, market_ages(market, today))


def _shown(request: DoctorRequest, title: str) -> set[CheckStatus]:
    """Of a section, what is listed and not only counted: of profiles, doubts when asked for."""
    if request.verbose or title == ABILITY:
        return {"OK", "WARN", "FAIL"}
    return {"FAIL"} if title == PROFILES and not request.profiles else {"WARN", "FAIL"}


def _show(console: Console, title: str, checks: list[Check], shown: set[CheckStatus]) -> None:
    if not checks:
        return
    counts = Counter(check.status for check in checks)
    total = ", ".join(f"{counts[status]} {status}" for status in STYLES)
    say(console, f"{title}: {total}")
    for check in checks:
        if check.status in shown:
            cure = "" if check.cure is None else f"; {check.cure}"
            say(
                console, f"{check.status:<4} {check.item}: {check.text}{cure}", STYLES[check.status]
            )
