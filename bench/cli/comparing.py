"""One ``bench compare`` from files to exit status: read, hold against the first, price, show."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.bounds import TPOT_S, tpot_bound_s
from bench.cli.exporting import Exports, check_outputs, write_exports
from bench.cli.output import open_console, write_json
from bench.cli.prices import Prices, card_of, open_prices
from bench.cli.refusal import BAD_FILE, INVALID, OK, STORAGE, USAGE, Refusal
from bench.cli.uncollected import uncollected
from bench.compare import Compared, Row, compare
from bench.compare.choice import Asked
from bench.compare.entry import TRUSTED, Entry
from bench.compare.money import Worth, worths
from bench.machine import legible
from bench.records.decision import Aged
from bench.records.market import GpuProfile
from bench.records.record import RunRecord
from bench.report.compare import money_sheet, prices_sheet, screen_sheets, whole_sheets
from bench.report.screen import counting, say
from bench.report.sheet import terminal
from bench.store import BadRecord, StoreError, load
from bench.verdict.ages import used_ages

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "joulemark/compare/1"


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """The options of ``bench compare`` as given."""

    files: tuple[Path, ...]
    best_under: str | None
    like_for_like: bool
    market: str
    sets: tuple[str, ...]
    strict: bool
    exports: Exports
    json_out: str | None
    no_color: bool


@dataclass(frozen=True, slots=True)
class Found:
    """The tables, what the cards in them earn, and how old the prices behind that are."""

    asked: Asked
    tables: tuple[Compared, ...]
    money: tuple[Worth, ...]
    ages: tuple[Aged, ...]


@uncollected()
def run_compare(request: CompareRequest) -> int:
    """Everything ``bench compare`` does; a bad file is named and the others go on."""
    check_outputs(request.exports, request.json_out, (*request.files, request.market))
    console = open_console(request)
    prices = open_prices(request.market, request.sets)
    asked = _asked(request)
    with counting(console, "Reading runs", len(request.files)) as done:
        records = list(_loaded(request.files, console, done))
    entries = _entries(records)
    tables = compare(entries, asked)
    found = Found(asked, tables, worths(tables, prices.market), _ages(tables, prices))
    _show(found, entries, prices, console)
    _write(request, found, entries, prices, console)
    if len(records) < len(request.files):
        return BAD_FILE
    return _status([record for _, record in records], found, strict=request.strict)


def _asked(request: CompareRequest) -> Asked:
    if request.like_for_like and request.best_under is not None:
        raise Refusal(USAGE, "--like-for-like and --best-under: choose one of them")
    bound_s = TPOT_S if request.best_under is None else tpot_bound_s(request.best_under)
    return Asked(request.like_for_like, bound_s)


def _loaded(
    paths: Iterable[Path], console: Console, done: Callable[[], None]
) -> Iterator[tuple[Path, RunRecord]]:
    for path in paths:
        try:
            yield path, load(path)
        except BadRecord as error:
            say(console, f"unreadable: {legible(str(error))}")
        done()


def _entries(records: Sequence[tuple[Path, RunRecord]]) -> list[Entry]:
    """A card's profile is read once, however many runs are of it."""
    cards: dict[str, GpuProfile | None] = {}
    entries = []
    for path, record in records:
        kept = record.profiles.gpu
        name = record.device.name if kept is None else kept.name
        if name not in cards:
            cards[name] = card_of(record)
        entries += [
            Entry(legible(str(path)), record, workload, cards[name])
            for workload in record.workloads
        ]
    return entries


def _ages(tables: Sequence[Compared], prices: Prices) -> tuple[Aged, ...]:
    """Of the prices behind the money, each once."""
    found: dict[Aged, None] = {}
    for table in tables:
        for row in table.rows:
            record = row.entry.record
            found |= dict.fromkeys(
                used_ages(
                    prices.market,
                    record.profiles.model,
                    row.entry.gpu,
                    (row.entry.workload,),
                    prices.today,
                )
            )
    return tuple(found)


def _show(found: Found, entries: Sequence[Entry], prices: Prices, console: Console) -> None:
    runs = Counter(entry.table for entry in entries)
    sheets = list(screen_sheets(found.tables, found.asked, runs))
    if found.money:
        sheets.append(money_sheet(found.money, found.ages, prices.market))
    for sheet in sheets:
        console.print()
        console.print(terminal(sheet, console.width))


def _write(
    request: CompareRequest,
    found: Found,
    entries: Sequence[Entry],
    prices: Prices,
    console: Console,
) -> None:
    runs = Counter(entry.table for entry in entries)
    sheets = whole_sheets(found.tables, found.asked, runs)
    if found.money:
        sheets.append(money_sheet(found.money, found.ages, prices.market))
        sheets.append(prices_sheet(found.money, prices.market))
    if sheets:
        write_exports(request.exports, sheets, console)
    if request.json_out is None:
        return
    try:
        text = json.dumps(_document(found, prices), indent=2, allow_nan=False)
        write_json(request, f"{text}\n")
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error


def _document(found: Found, prices: Prices) -> dict[str, Any]:
    """Everything in the tables, SI and USD."""
    return {
        "schema": SCHEMA,
        "mode": asdict(found.asked),
        "market": asdict(prices.market),
        "tables": [
            {
                "workload": table.workload,
                "tier": table.tier,
                "rows": [_row(row) for row in table.rows],
            }
            for table in found.tables
        ],
        "money": {
            "boundary": "facility",
            "ages": [asdict(age) for age in found.ages],
            "rows": [_worth(worth) for worth in found.money],
        },
    }


def _row(row: Row) -> dict[str, Any]:
    entry, metrics = row.entry, row.entry.workload.metrics
    figures = ("units_per_s", "watts", "joules_per_unit", "joules_per_unit_absolute")
    known = {name: getattr(metrics, name) for name in figures}
    ratios = {"rate_ratio": row.rate_ratio, "joules_ratio": row.joules_ratio}
    return {
        "name": row.name,
        "file": entry.file,
        "run_id": entry.record.run_id,
        "device": entry.record.device.name,
        "status": entry.record.validity.status,
        "codes": [code.name for code in entry.record.validity.codes],
        "config": entry.workload.config,
        "boundary": metrics.boundary,
        "scope": entry.record.meter.scope,
        **{name: None if each is None else asdict(each) for name, each in known.items()},
        "reason": metrics.reason,
        "tpot_p99_s": entry.tpot_s,
        "kl_to_bf16": entry.kl,
        "standing": row.standing,
        "why": list(row.why),
        **{name: None if each is None else asdict(each) for name, each in ratios.items()},
        "group": row.group,
        "rank": row.rank,
    }


def _worth(worth: Worth) -> dict[str, Any]:
    """Without the prices, which stand in the market."""
    found = asdict(worth)
    for name in ("gpu", "token", "rent"):
        del found[name]
    return found


def _status(records: Sequence[RunRecord], found: Found, *, strict: bool) -> int:
    if any(record.validity.status not in TRUSTED for record in records):
        return INVALID
    return INVALID if strict and any(age.stale for age in found.ages) else OK
