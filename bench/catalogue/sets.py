"""What a user sets over a profile on the command line: ``--set`` and ``--asic``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date

from bench.catalogue import units
from bench.catalogue.tomlfile import ProfileError, Unit, nearest
from bench.economics.mining import asic_joules_per_hash
from bench.records.market import AsicProfile, MarketProfile, Value
from bench.verdict import inputs

_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_SETS = {
    "btc": units.USD,
    "difficulty": units.DIFFICULTY,
    "power": units.POWER_PRICE,
    "token": units.TOKEN_PRICE,
    "rent": units.RENT,
    "utilisation": units.UTILISATION,
    "served": units.UTILISATION,
    "rented": units.UTILISATION,
    "pue": units.FACTOR,
}
LEAST_J_PER_TH = 1.0
"""A tenth of the thriftiest machine on sale in 2026: below it a unit is wrong."""
_ASIC_SETS = {"ths": units.HASHRATE, "watts": units.WATTS}


def apply_sets(market: MarketProfile, sets: Iterable[str], *, today: date) -> MarketProfile:
    """The market with ``--set`` values over it, dated today; the last of a key wins.

    ``btc`` (USD) and ``difficulty``, hashprice following, ``power`` (USD/kWh), ``token`` (USD/Mtok
    in and out of this run's model), ``rent`` (USD/h of this device), ``served`` and ``rented`` (the
    shares of hours, ``utilisation`` both), ``pue``; several may share one string.
    """
    words = " ".join(sets).split()
    for key, number in pairs("--set", words, _SETS).items():
        market = inputs.given(market, key, _given("--set", _SETS[key], number, today))
    return market


def parse_asic(text: str, *, today: date) -> AsicProfile:
    """The user's own machine from ``ths=…,watts=…`` (TH/s and W at the wall)."""
    words = text.split(",")
    if len({word.partition("=")[0].strip() for word in words}) < len(words):
        raise ProfileError("--asic", None, "gives a figure twice", "write ths=…,watts=…")
    found = pairs("--asic", words, _ASIC_SETS)
    for key, unit in _ASIC_SETS.items():
        if key not in found:
            raise ProfileError("--asic", key, "is missing", f"add {key}=… in {unit.written}")
    hashrate, watts = (
        _given("--asic", _ASIC_SETS[key], found[key], today) for key in ("ths", "watts")
    )
    asic = AsicProfile("given", "ASIC given with --asic", "unknown", hashrate, watts)
    if (joules_per_th := asic_joules_per_hash(asic) * 1e12) < LEAST_J_PER_TH:
        why = f"is {joules_per_th:.3g} J/TH, and no machine is below {LEAST_J_PER_TH:g}"
        raise ProfileError("--asic", None, why, "give TH/s, and watts (not kW) at the wall")
    return asic


def pairs(option: str, words: Iterable[str], known: Mapping[str, Unit]) -> dict[str, float]:
    """``key=number`` words as numbers in the units that ``known`` writes them in."""
    found: dict[str, float] = {}
    for word in words:
        key, equals, text = word.strip().partition("=")
        if not equals:
            raise ProfileError(option, None, f"{word} is not key=number", f"write {option} {key}=…")
        if key not in known:
            raise ProfileError(option, key, "is not a known key", nearest(key, known))
        found[key] = parse_number(option, key, text, known[key])
    return found


def parse_number(option: str, key: str, text: str, unit: Unit) -> float:
    """A number as it was written, within the bounds of its unit."""
    cure = f"give the number in {unit.written}" if unit.written != "1" else "give a plain number"
    if not _NUMBER.fullmatch(text):
        raise ProfileError(option, key, f"{text} is not a number", cure)
    if complaint := unit.complaint(float(text)):
        raise ProfileError(option, key, complaint, cure)
    return float(text)


def _given(option: str, unit: Unit, number: float, today: date) -> Value:
    return Value(number * unit.factor, unit.inside, today.isoformat(), f"given with {option}", "G")
