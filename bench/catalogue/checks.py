"""Whether the profiles can be true: loading, dates, names, machines, and the marks of doubt.

Cards are held against their rooflines in ``rooflines``. Every check says what to do about it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from bench.catalogue.asic import load_asic
from bench.catalogue.card import load_gpu
from bench.catalogue.market import load_market
from bench.catalogue.model import load_model
from bench.catalogue.rooms import ROOMS, names
from bench.catalogue.site import load_site
from bench.catalogue.tomlfile import ProfileError
from bench.catalogue.values import misdated, values_of
from bench.economics.mining import asic_joules_per_hash, hashprice_usd_per_phs_day
from bench.records.check import Check
from bench.records.market import FLAGS, AsicProfile, GpuProfile, MarketProfile, ModelConfig, Value
from bench.records.site import SiteProfile

P = TypeVar("P", GpuProfile, AsicProfile, MarketProfile, ModelConfig, SiteProfile)
Profile = GpuProfile | AsicProfile | MarketProfile | ModelConfig | SiteProfile

ASIC_J_PER_TH = (5.0, 150.0)
"""From below the best machine announced in 2026 (9.5) to above one of 2016 (Antminer S9, 98)."""
DOUBTFUL = "MCU"
NAMED = 6
"""So many fields are named in one line; more are only counted, the JSON has them all."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """The shipped profiles that load, by room and name, and a failed check for each other one."""

    gpus: dict[str, GpuProfile]
    asics: dict[str, AsicProfile]
    markets: dict[str, MarketProfile]
    models: dict[str, ModelConfig]
    sites: dict[str, SiteProfile]
    broken: tuple[Check, ...]

    @property
    def profiles(self) -> Iterator[tuple[str, Profile]]:
        """Every profile as ``("gpus/h100", record)``."""
        for room in ROOMS:
            for name, profile in getattr(self, room).items():
                yield f"{room}/{name}", profile


def take_stock() -> Shelf:
    """Load every shipped profile; units, ranges and identities are judged in doing so."""
    broken: list[Check] = []
    return Shelf(
        gpus=_loaded("gpus", load_gpu, broken),
        asics=_loaded("asics", load_asic, broken),
        markets=_loaded("markets", load_market, broken),
        models=_loaded("models", load_model, broken),
        sites=_loaded("sites", load_site, broken),
        broken=tuple(broken),
    )


def _loaded(room: str, load: Callable[[str], P], broken: list[Check]) -> dict[str, P]:
    """The profiles of a room that load; the others go to ``broken``."""
    found = {}
    for name in names(room):
        try:
            found[name] = load(name)
        except ProfileError as error:
            where = error.file if error.field is None else f"{error.file}: {error.field}"
            broken.append(Check(f"{room}/{name}", "FAIL", f"{where}: {error.why}", error.cure))
    return found


def general_checks(shelf: Shelf, today: date) -> Iterator[Check]:
    """All that does not need a roofline."""
    yield from shelf.broken
    for room in ROOMS:
        count = len(getattr(shelf, room))
        if not any(check.item.startswith(f"{room}/") for check in shelf.broken):
            yield Check(room, "OK", f"{count} profiles: units, ranges and dates can be read")
    yield from _names(shelf)
    yield from _dates(shelf, today)
    yield from _machines(shelf)
    yield from _markets(shelf)
    yield from _flags(shelf)


def _names(shelf: Shelf) -> Iterator[Check]:
    """A profile is found by its file, a card by the name NVML gives, which only one may have."""
    for item, profile in shelf.profiles:
        if profile.name != item.partition("/")[2]:
            cure = "give the file and its name the same word"
            yield Check(item, "FAIL", f"calls itself {profile.name}", cure)
    claimed = Counter(match for gpu in shelf.gpus.values() for match in gpu.match)
    twice = [match for match, count in claimed.items() if count > 1]
    for match in twice:
        who = ", ".join(name for name, gpu in shelf.gpus.items() if match in gpu.match)
        yield Check("gpus", "FAIL", f"{who} all match {match}", "leave that name in one of them")
    if not twice:
        yield Check("gpus: names", "OK", f"{len(claimed)} NVML names, each of one card")


def _dates(shelf: Shelf, today: date) -> Iterator[Check]:
    """Only what is assumed may lie in the future."""
    wrong = [
        (item, field, value)
        for item, profile in shelf.profiles
        for field, value in misdated(profile, today)
    ]
    for item, field, value in wrong:
        cure = "correct as_of, or flag it A and say what is assumed"
        yield Check(item, "FAIL", f"{field} is of {value.as_of}, which is still to come", cure)
    if not wrong:
        yield Check("dates", "OK", "none in the future but what is assumed")


def _machines(shelf: Shelf) -> Iterator[Check]:
    """J/TH that some machine could have."""
    least, most = ASIC_J_PER_TH
    odd = False
    for name, asic in shelf.asics.items():
        j_per_th = 1e12 * asic_joules_per_hash(asic)
        if not least <= j_per_th <= most:
            odd = True
            text = f"{j_per_th:.3g} J/TH is outside {least:g} to {most:g}"
            yield Check(f"asics/{name}", "FAIL", text, "correct hashrate (TH/s) or watts")
    if shelf.asics and not odd:
        yield Check("asics: J/TH", "OK", f"all within {least:g} to {most:g}")


def _markets(shelf: Shelf) -> Iterator[Check]:
    """What loading has held together, said; and models that no price is for."""
    for name, market in shelf.markets.items():
        hashprice = hashprice_usd_per_phs_day(market.hashprice_usd_per_hash.value)
        text = f"hashprice {hashprice:.4g} USD/PH/day follows; height, date and reward agree"
        yield Check(f"markets/{name}", "OK", text)
    for name, model in shelf.models.items():
        if model.model_id is None:
            continue
        without = [each.name for each in shelf.markets.values() if not _prices(each, model)]
        if without:
            text = f"{model.model_id} has no price in {', '.join(without)}: NO MARKET there"
            cure = "add [[tokens]] with that model_id to the market or its base"
            yield Check(f"models/{name}", "WARN", text, cure)


def _prices(market: MarketProfile, model: ModelConfig) -> bool:
    return any(price.model_id == model.model_id for price in market.tokens)


def _flags(shelf: Shelf) -> Iterator[Check]:
    """Values that need a second source, by room and letter; what a market inherits counts once."""
    for room in ROOMS:
        for letter in DOUBTFUL:
            fields = tuple(_flagged(shelf, room, letter))
            if fields:
                which = f": {', '.join(fields)}" if len(fields) <= NAMED else ""
                count = f"{len(fields)} value{'s are' if len(fields) > 1 else ' is'}"
                text = f"{count} {letter} ({FLAGS[letter]}){which}"
                cure = "find a second source, name it, and change the flag"
                yield Check(f"{room}: flag {letter}", "WARN", text, cure, fields)


def _flagged(shelf: Shelf, room: str, letter: str) -> Iterator[str]:
    """The fields of a room that bear a letter, by profile."""
    ground = shelf.markets.get("default")
    inherited = [] if ground is None else [f for f, v in values_of(ground) if _doubts(v, letter)]
    for name, profile in getattr(shelf, room).items():
        for field, value in values_of(profile):
            again = room == "markets" and name != "default" and field in inherited
            if _doubts(value, letter) and not again:
                yield f"{name}.{field}"


def _doubts(value: Value, letter: str) -> bool:
    """Whether a value bears the letter; memory that a source confirms is no longer in doubt."""
    flags = value.flag.split("/")
    return letter in flags and not (letter == "M" and "S" in flags)
