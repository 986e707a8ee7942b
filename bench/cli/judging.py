"""One ``bench verdict`` from files to exit status: read, judge by the market, show."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from bench.cli.exporting import Exports, check_outputs, write_exports
from bench.cli.output import open_console, to_stdout, write_json
from bench.cli.prices import Prices, card_of, open_prices
from bench.cli.refusal import BAD_FILE, INVALID, OK, STORAGE, USAGE, Refusal
from bench.machine import legible
from bench.records.decision import Decision, FlipGrid
from bench.records.market import GpuProfile
from bench.records.record import RunRecord
from bench.report import verdict as tables
from bench.report.screen import say
from bench.report.sheet import Sheet, terminal
from bench.report.summary import measured
from bench.store import BadRecord, StoreError, load
from bench.verdict import judge
from bench.verdict.case import Case
from bench.verdict.grid import flip_grid
from bench.verdict.stack import StackGap, stack_gaps

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "joulemark/verdict/1"
SHOWN = 100
"""Characters of a device's name that are repeated."""


@dataclass(frozen=True, slots=True)
class VerdictRequest:
    """The options of ``bench verdict`` as given."""

    files: tuple[Path, ...]
    market: str
    sets: tuple[str, ...]
    asic: str | None
    flip: str | None
    strict: bool
    exports: Exports
    json_out: str | None
    no_color: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """One file's record with the verdict that this market gives it; ``grid`` where asked for."""

    file: str
    record: RunRecord
    card: GpuProfile | None
    grid: FlipGrid | None

    @property
    def decision(self) -> Decision:
        """The verdict."""
        return self.record.verdict


def run_verdict(request: VerdictRequest) -> int:
    """Everything ``bench verdict`` does; a bad file is named and the others go on."""
    check_outputs(request.exports, request.json_out, (*request.files, request.market))
    console = open_console(request)
    prices = open_prices(request.market, request.sets, request.asic)
    axes = _axes(request.flip)
    judged, status = [], OK
    for path in request.files:
        try:
            found = _judged(path, prices, axes)
        except BadRecord as error:
            say(console, f"unreadable: {legible(str(error))}")
            status = BAD_FILE
            continue
        _show(found, prices.today, console)
        judged.append(found)
    gaps = stack_gaps([found.record for found in judged])
    for gap in gaps:
        say(console, tables.stack_gap(gap))
    if judged or to_stdout(request):
        _write(request, judged, gaps)
    sheets = [sheet for found in judged for sheet in _exported(found, prices.today)]
    if sheets:
        write_exports(request.exports, sheets, console)
    return status or _status(judged, strict=request.strict)


def _axes(flip: str | None) -> tuple[str, str] | None:
    if flip is None:
        return None
    across, comma, down = flip.partition(",")
    if not comma:
        raise Refusal(USAGE, f"--flip {flip}: name two inputs, such as utilisation,rent")
    return across.strip(), down.strip()


def _judged(path: Path, prices: Prices, axes: tuple[str, str] | None) -> Judged:
    record = load(path)
    card = card_of(record)
    case = Case(
        record.device,
        record.workloads,
        record.idle,
        record.profiles.model,
        card,
        record.plan.seed,
    )
    decision = judge(
        case,
        prices.market,
        validity=record.validity,
        asics=prices.asics,
        today=prices.today,
        user_asic=prices.own,
    )
    grid = None
    if axes is not None and decision.options:
        try:
            grid = flip_grid(case, prices.market, *axes)
        except ValueError as error:
            raise Refusal(USAGE, f"--flip {','.join(axes)}: {error}") from error
    judged = replace(record, market=prices.market, verdict=decision)
    return Judged(legible(str(path)), judged, card, grid)


def _show(found: Judged, today: dt.date, console: Console) -> None:
    say(console, "")
    say(console, f"{found.file}: {_context(found)}")
    for code in found.record.validity.codes:
        say(console, f"{'FATAL ' if code.fatal else ''}{code.name}: {code.text}")
    say(console, found.decision.sentence, style="bold")
    for sheet in _sheets(found, today):
        console.print()
        console.print(terminal(sheet, console.width))
    if (line := tables.exchange(found.decision)) is not None:
        say(console, "")
        say(console, line)


def _context(found: Judged) -> str:
    record = found.record
    name = shorten(record.device.name, SHOWN, placeholder="…")
    return f"{name}, {record.validity.status}, {record.market.title}"


def _sheets(found: Judged, today: dt.date) -> Iterator[Sheet]:
    record, decision = found.record, found.decision
    if not decision.options:
        return
    market = record.market
    possible = (
        *measured(record),
        tables.uses(decision),
        tables.ladder(decision, market.power_usd_per_j.value),
        tables.flips(decision),
        tables.swings(decision),
        None if found.grid is None else tables.grid(found.grid, decision),
        tables.prices(market, record.profiles.model, found.card, today),
    )
    yield from (sheet for sheet in possible if sheet is not None)


def _exported(found: Judged, today: dt.date) -> Iterator[Sheet]:
    """The same tables where they travel alone: the answer first, and whose they are in each."""
    whose = f"{found.record.device.name}, run {found.record.run_id}"
    context = f"{_context(found)}, run {found.record.run_id}"
    yield tables.answer(found.decision, context, found.record.validity.codes)
    for sheet in _sheets(found, today):
        yield replace(sheet, title=f"{sheet.title}: {whose}")


def _write(request: VerdictRequest, judged: list[Judged], gaps: list[StackGap]) -> None:
    by_run = {gap.engine: asdict(gap) for gap in gaps}
    documents = [
        {**_document(found), "stack_gap": by_run.get(found.record.run_id)} for found in judged
    ]
    content: Any = documents[0] if len(request.files) == len(documents) == 1 else documents
    try:
        write_json(request, json.dumps(content, indent=2, allow_nan=False) + "\n")
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error


def _document(found: Judged) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "file": found.file,
        "run_id": found.record.run_id,
        "device": found.record.device.name,
        "validity": asdict(found.record.validity),
        "market": asdict(found.record.market),
        "verdict": asdict(found.decision),
        "flip_grid": None if found.grid is None else asdict(found.grid),
    }


def _status(judged: list[Judged], *, strict: bool) -> int:
    if any(found.record.validity.status in ("invalid", "incomplete") for found in judged):
        return INVALID
    return INVALID if strict and any(found.decision.stale for found in judged) else OK
