"""One ``bench skus`` from files to exit status: read runs, predict the rest, show, export."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.book import open_book
from bench.catalogue import (
    ProfileError,
    load_gpu,
    load_model,
    names,
)
from bench.cli.bounds import TPOT_S, tpot_bound_s
from bench.cli.exporting import Exports, check_outputs, write_exports
from bench.cli.options import LIKE_BATCH
from bench.cli.output import open_console, write_json
from bench.cli.prices import card_of, open_prices
from bench.cli.refusal import BAD_FILE, INVALID, OK, STORAGE, USAGE, Refusal
from bench.energy import held_mean
from bench.machine import legible
from bench.predict import table
from bench.predict.ages import PriceKind, Stale, stale_prices
from bench.predict.measured import Measured, Refused, measured
from bench.predict.point import Asked
from bench.predict.row import Table
from bench.records.market import GpuProfile, MarketProfile, ModelConfig
from bench.records.record import RunRecord
from bench.report.screen import say
from bench.report.sheet import terminal
from bench.report.skus import screen_sheets, whole_sheet
from bench.store import BadRecord, StoreError, find_journal, load, read_journal
from bench.verdict.ages import ASIC_LIMIT_DAYS, RENT_LIMIT_DAYS, TOKEN_LIMIT_DAYS
from bench.verdict.options import rent_price, token_price

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "joulemark/skus/1"
LIMIT_DAYS: dict[PriceKind, int] = {
    "card": ASIC_LIMIT_DAYS,
    "rent": RENT_LIMIT_DAYS,
    "token": TOKEN_LIMIT_DAYS,
}
"""How old a price may be; a card ages as a mining machine does."""
_MIX = re.compile(r"([0-9]{1,7})/([0-9]{1,7})")


@dataclass(frozen=True, slots=True)
class SkusRequest:
    """The options of ``bench skus`` as given."""

    files: tuple[Path, ...]
    model: str
    precision: str
    mix: str
    context: int | None
    best_under: str | None
    like_for_like: bool
    batch: int | None
    cards: str | None
    trust_simulated: bool
    market: str
    sets: tuple[str, ...]
    seed: int
    draws: int
    strict: bool
    exports: Exports
    json_out: str | None
    no_color: bool


def run_skus(request: SkusRequest) -> int:
    """Everything ``bench skus`` does; a bad file is named and the others go on."""
    check_outputs(
        request.exports, request.json_out, (*request.files, request.market, request.model)
    )
    console = open_console(request)
    prices = open_prices(request.market, request.sets)
    try:
        asked = _asked(request, load_model(request.model))
        gpus = [load_gpu(name) for name in _wanted(request)]
        runs = [_run(path, console) for path in request.files]
    except ProfileError as error:
        raise Refusal(USAGE, str(error)) from error
    used = [run for run in runs if run is not None]
    found = _table(request, asked, gpus, used, prices.market)
    stale = stale_prices(found, prices.today, LIMIT_DAYS)
    for sheet in screen_sheets(found, stale):
        console.print()
        console.print(terminal(sheet, console.width))
    _write(request, found, stale, console)
    if len(used) < len(runs):
        return BAD_FILE
    return INVALID if request.strict and stale else OK


def _table(
    request: SkusRequest,
    asked: Asked,
    gpus: list[GpuProfile],
    runs: list[Measured],
    market: MarketProfile,
) -> Table:
    every = [*gpus, *(run.gpu for run in runs)]
    rents = {gpu.name: rent for gpu in every if (rent := rent_price(market, gpu)) is not None}
    return table(
        asked,
        gpus,
        runs,
        market,
        price=token_price(market, asked.model),
        rents=rents,
        seed=request.seed,
        draws=request.draws,
        simulated_teach=request.trust_simulated,
    )


def _asked(request: SkusRequest, model: ModelConfig) -> Asked:
    mix = _MIX.fullmatch(request.mix)
    if mix is None or 0 in (prompt := int(mix[1]), output := int(mix[2])):
        raise Refusal(USAGE, f"--mix {request.mix}: write tokens in and out, such as 1024/1024")
    batch, tpot_s = _bound(request)
    kv_bytes = 4.0 if request.precision == "fp32" else 2.0
    asked = Asked(
        model, request.precision, prompt, output, batch, tpot_s, request.context, kv_bytes
    )
    longest = model.config.get("max_context")
    if isinstance(longest, int) and asked.held_tokens > longest:
        why = f"{asked.held_tokens:g} tokens are more than the {longest} that {model.name} can hold"
        raise Refusal(USAGE, f"{why}; shorten --mix or --context")
    return asked


def _bound(request: SkusRequest) -> tuple[int | None, float | None]:
    """The common batch, or the bound on TPOT in seconds."""
    if request.like_for_like:
        if request.best_under is not None:
            raise Refusal(USAGE, "--like-for-like and --best-under: choose one of them")
        return request.batch or LIKE_BATCH, None
    if request.batch is not None:
        raise Refusal(USAGE, "--batch belongs to --like-for-like; --best-under finds each card's")
    if request.best_under is None:
        return None, TPOT_S
    return None, tpot_bound_s(request.best_under)


def _wanted(request: SkusRequest) -> Iterable[str]:
    if request.cards is None:
        return names("gpus")
    wanted = dict.fromkeys(name.strip() for name in request.cards.split(",") if name.strip())
    if not wanted:
        raise Refusal(USAGE, "--cards names no card; leave it out for all of them")
    return wanted


def _run(path: Path, console: Console) -> Measured | None:
    """What one file says of its card; null, with a line, where it says nothing of use."""
    try:
        record = load(path)
        return measured(
            record,
            card_of(record),
            hash_clock_hz=_hash_clock_hz(path, record),
            decode_model=_decode_model(record),
        )
    except BadRecord as error:
        say(console, f"unreadable: {legible(str(error))}")
    except Refused as refused:
        say(console, f"refused: {legible(str(path))}: {legible(str(refused))}")
    return None


def _decode_model(record: RunRecord) -> ModelConfig | None:
    """The model whose tokens were counted; null for one that this program does not know."""
    for workload in record.workloads:
        if workload.name in ("serve", "decode"):
            name = workload.config.get("model")
            if record.profiles.model is not None and name == record.profiles.model.name:
                return record.profiles.model
            return load_model(str(name)) if name in names("models") else None
    return None


def _hash_clock_hz(path: Path, record: RunRecord) -> float | None:
    """The mean SM clock sampled while it hashed; null without a journal or a clock in it."""
    windows = [w for each in record.workloads if each.name == "sha256d" for w in each.windows]
    place = find_journal(path, record.run_id)
    if place is None or not windows:
        return None
    clock = open_book(read_journal(place).facts).series.get("sm_clock_hz")
    spans = [(window.start_s, window.end_s) for window in windows]
    return None if clock is None else held_mean(clock, spans)


def _write(request: SkusRequest, found: Table, stale: tuple[Stale, ...], console: Console) -> None:
    write_exports(request.exports, [whole_sheet(found, stale)], console)
    try:
        write_json(request, json.dumps(_document(found, stale), indent=2) + "\n")
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error


def _document(found: Table, stale: tuple[Stale, ...]) -> dict[str, Any]:
    """Everything in the table, SI and USD, joules and money at its one boundary."""
    return {
        "schema": SCHEMA,
        "boundary": "facility",
        "point": found.asked.text,
        "model": found.asked.model.name,
        "market": found.market.name,
        "seed": found.seed,
        "draws": found.draws,
        "priced": found.price is not None,
        "stale": [asdict(each) for each in stale],
        "learned": [
            {"architecture": family, "kind": kind, **asdict(factor)}
            for (family, kind), factor in sorted(found.learned.items())
        ],
        "rows": [asdict(row) for row in found.rows],
    }
