"""One ``bench card`` from a stored run to exit status: read, hold to its journal, write, show."""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from pathlib import Path

import bench
from bench.cli.exporting import Exports, check_outputs
from bench.cli.listing import find_run
from bench.cli.output import open_console, to_stdout, write_json
from bench.cli.refusal import BAD_FILE, INVALID, OK, STORAGE, USAGE, Refusal
from bench.cli.session import stamp
from bench.cli.verifying import verify
from bench.compute_card import compute_card, offered
from bench.machine import legible
from bench.records.compute_card import Offer, Telemetry, reasoned
from bench.records.record import RunRecord
from bench.report.compute_card import lines
from bench.report.screen import say
from bench.store import BadRecord, StoreError, card_json, find_journal, load

LEAST_USD_PER_H, MOST_USD_PER_H = 1e-6, 1e6
TERM = re.compile(r"([0-9]{1,6})(h|d|w|mo|y)")
DURATION = {"h": "PT{}H", "d": "P{}D", "w": "P{}W", "mo": "P{}M", "y": "P{}Y"}
"""As ISO 8601 writes them."""
LONGEST = {"h": 876_600, "d": 36_525, "w": 5_218, "mo": 1_200, "y": 100}
"""A century of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRequest:
    """The options of ``bench card`` as given."""

    run: str
    folder: Path
    price_usd_per_h: float | None
    lease_term: str | None
    utilisation: str | None
    json_out: str
    no_color: bool


def run_card(request: CardRequest) -> int:
    """Everything ``bench card`` does; a run that may not be trusted ends with 9, card and all."""
    offer = _offer(request)
    path = find_run(request.run, request.folder)
    try:
        record = load(path)
    except BadRecord as error:
        raise Refusal(BAD_FILE, legible(str(error))) from error
    journal = find_journal(path, record.run_id)
    check_outputs(Exports(), request.json_out, [p for p in (path, journal) if p is not None])
    telemetry = _telemetry(path, record, journal)
    now = stamp(dt.datetime.now(dt.UTC))
    card = compute_card(record, offer, telemetry, made_at=now, made_by=bench.__version__)
    try:
        write_json(request, card_json(card))
    except StoreError as error:
        raise Refusal(STORAGE, str(error)) from error
    console = open_console(request)
    for line in lines(card):
        say(console, line)
    if not to_stdout(request):
        say(console, f"Saved {legible(request.json_out)}")
    return INVALID if record.validity.status in ("invalid", "incomplete") else OK


def _offer(request: CardRequest) -> Offer:
    price = request.price_usd_per_h
    if price is not None and not LEAST_USD_PER_H <= price <= MOST_USD_PER_H:
        limits = f"from {LEAST_USD_PER_H:g} to {MOST_USD_PER_H:g}"
        raise Refusal(USAGE, f"--price {price:g}: use USD per device-hour, {limits}")
    return offered(price, _duration(request.lease_term), _share(request.utilisation))


def _duration(term: str | None) -> str | None:
    """Of ISO 8601, as it was stated: a month is no number of days."""
    if term is None:
        return None
    found = TERM.fullmatch(term)
    if found is None or not 0 < int(found[1]) <= LONGEST[found[2]]:
        cure = "use a whole number of h, d, w, mo or y, such as 12mo, up to a century"
        raise Refusal(USAGE, f"--lease-term {legible(term)}: {cure}")
    return DURATION[found[2]].format(int(found[1]))


def _share(given: str | None) -> float | None:
    if given is None:
        return None
    try:
        number = float(given.removesuffix("%"))
    except ValueError:
        number = math.nan
    share = number / 100 if given.endswith("%") else number
    if not 0 < share <= 1:
        cure = "use a share of the hours above 0 and at most 1, such as 0.8 or 80%"
        raise Refusal(USAGE, f"--utilisation {legible(given)}: {cure}")
    return share


def _telemetry(path: Path, record: RunRecord, journal: Path | None) -> Telemetry:
    """What the raw readings are and whether the record follows from them; Refusal where not."""
    file = legible(str(path))
    if journal is None:
        return reasoned(
            Telemetry,
            {"sha256": "the record states none"},
            status="absent",
            journal=f"{record.run_id}.samples.jsonl",
            sha256=record.journal_sha256,
        )
    found = verify(path)
    if found.error is not None:
        raise Refusal(BAD_FILE, found.error)
    if found.differences:
        count, first = len(found.differences), found.differences[0].path
        what = f"{count} place{'s' if count > 1 else ''} ({first}{', …' if count > 1 else ''})"
        cure = "bench verify names them; no card is made of it"
        raise Refusal(BAD_FILE, f"{file}: differs from its journal in {what}; {cure}")
    digest = record.journal_sha256
    return reasoned(Telemetry, {}, status="verified", journal=legible(journal.name), sha256=digest)
