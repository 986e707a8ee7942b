"""The market that a command judges by, as the user named and changed it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from bench.catalogue import (
    ProfileError,
    apply_sets,
    find_gpu,
    load_asics,
    load_gpu,
    load_market,
    names,
    parse_asic,
)
from bench.catalogue.values import misdated
from bench.cli.refusal import USAGE, Refusal
from bench.records.market import AsicProfile, GpuProfile, MarketProfile
from bench.records.record import RunRecord


@dataclass(frozen=True, slots=True)
class Prices:
    """A market, the machines on sale in it, and the user's own."""

    market: MarketProfile
    asics: tuple[AsicProfile, ...]
    own: AsicProfile | None
    today: dt.date


def open_prices(market: str, sets: Sequence[str], asic: str | None = None) -> Prices:
    """What --market, --set and --asic name, dated today; Refusal with what is wrong."""
    today = dt.datetime.now(dt.UTC).date()
    try:
        found = apply_sets(load_market(market), sets, today=today)
        _refuse_future(market, found, today)
        own = None if asic is None else parse_asic(asic, today=today)
        return Prices(found, load_asics(found), own, today)
    except ProfileError as error:
        raise Refusal(USAGE, str(error)) from error


def _refuse_future(name: str, market: MarketProfile, today: dt.date) -> None:
    """A price from the future would never be stale."""
    for field, value in misdated(market, today):
        why = f"is of {value.as_of}, which is still to come"
        raise ProfileError(name, field, why, "correct as_of, or flag it A and say what is assumed")


def card_of(record: RunRecord) -> GpuProfile | None:
    """The card's profile as shipped today, with today's price; else the one in the record."""
    kept = record.profiles.gpu
    if kept is None:
        return find_gpu(record.device.name) if record.device.kind == "gpu" else None
    return load_gpu(kept.name) if kept.name in names("gpus") else kept
