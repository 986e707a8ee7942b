"""A market that says only what differs: laid over its ``base``, whose prices it may scale.

What comes out is one market's raw TOML; its figures are read and judged in ``market``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.catalogue import units
from bench.catalogue.rooms import Place, is_path, locate
from bench.catalogue.tomlfile import MAX_TEXT, ProfileError, Table, read_data
from bench.economics.chain import first_day
from bench.records.market import Value

MAX_BASES = 3
"""How many files may stand below one market."""

Data = dict[str, Any]
PRICES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tokens": (("model_id",), ("in", "out")),
    "rents": (("gpu", "tier"), ("price",)),
}
"""The priced lists of a market: what names an entry, and its prices."""
DERIVED_FROM = {"network": ("difficulty", "reward"), "prices": ("btc",)}
"""What a stated hashprice belongs to: where one of them differs, the base's is another's."""


def market_data(place: Place, judge: Callable[[Table], object]) -> Data:
    """The market's data with that of its bases below it.

    A base must stand by itself: ``judge`` raises ``ProfileError`` where it does not.
    """
    return _data(place, judge, ())


def _data(place: Place, judge: Callable[[Table], object], above: tuple[str, ...]) -> Data:
    own = read_data(place.path, place.file)
    if "base" not in own:
        if "scale" in own or "network" not in own:
            cure = 'add base = "default", or write every table of a market'
            raise ProfileError(place.file, "base", "is missing", cure)
        return own
    within = (*above, _real(place.path))
    head = Table(place.file, "", {key: own.pop(key) for key in ("base", "scale") if key in own})
    base = _place(place, head, head.text("base"), within)
    scale = head.table_or_none("scale")
    below = _data(base, judge, within)
    judge(Table(base.file, "", below))
    if scale is not None:
        below = _scaled(below, scale)
    return _laid_over(below, own)


def _place(place: Place, head: Table, name: str, above: tuple[str, ...]) -> Place:
    """The file of a base; a path starts at the file that names it."""
    if is_path(name):
        found = Place(place.path.parent / name, str(Path(place.file).parent / name))
    else:
        try:
            found = locate("markets", name)
        except ProfileError as error:
            raise head.error("base", error.why, error.cure) from None
    if _real(found.path) in above:
        raise head.error("base", "leads back to itself", "base it on another market")
    if len(above) > MAX_BASES:
        why = f"is more than {MAX_BASES} files deep"
        raise head.error("base", why, "base it on a market nearer to the ground")
    return found


def _real(path: Path) -> str:
    """The file itself, whatever links lead there."""
    return os.path.realpath(path)


def _laid_over(below: Data, own: Data) -> Data:
    """The base with what the file says over it: tables key by key, prices by what they price."""
    found = {key: value for key, value in below.items() if key not in ("name", "title")}
    for key, value in own.items():
        under = found.get(key)
        if key in PRICES and isinstance(value, list) and isinstance(under, list):
            found[key] = _prices(key, under, value)
        elif isinstance(value, dict) and isinstance(under, dict):
            found[key] = {**under, **value}
        else:
            found[key] = value
    network = found.get("network")
    if isinstance(network, dict) and _moves_hashprice(own):
        found["network"] = {key: value for key, value in network.items() if key != "hashprice"}
    return found


def _prices(room: str, under: list[Data], own: list[Data]) -> list[Data]:
    """The file's own entries, then those of the base that it does not price anew.

    The first of a card is the one that is charged, so a file's own price always counts.
    """
    keys, _ = PRICES[room]
    stated = [[entry.get(key) for key in keys] for entry in own if isinstance(entry, dict)]
    return [*own, *(entry for entry in under if [entry[key] for key in keys] not in stated)]


def _moves_hashprice(own: Data) -> bool:
    """Whether the file states what a hashprice follows from, and no hashprice with it."""
    network = own.get("network")
    if isinstance(network, dict) and "hashprice" in network:
        return False
    tables = {key: own[key] for key in DERIVED_FROM if isinstance(own.get(key), dict)}
    return any(part in table for key, table in tables.items() for part in DERIVED_FROM[key])


def _scaled(below: Data, table: Table) -> Data:
    """The base with its token and rent prices multiplied."""
    factors = {room: table.value_or_none(room, units.SCALE) for room in PRICES}
    table.end()
    found = dict(below)
    for room, factor in factors.items():
        if factor is None:
            continue
        _, fields = PRICES[room]
        found[room] = [
            {key: _times(part, factor) if key in fields else part for key, part in entry.items()}
            for entry in below.get(room, [])
        ]
    return found


def _times(price: Data, factor: Value) -> Data:
    """A price times a factor: its range too, the older date, both sources and both flags."""
    number = price["value"]
    ranged = {"low": number, "high": number, **price}
    least = factor.value if factor.low is None else factor.low
    most = factor.value if factor.high is None else factor.high
    flags = dict.fromkeys([*price["flag"].split("/"), *factor.flag.split("/")])
    dates = sorted((str(price["as_of"]), factor.as_of), key=first_day)
    return {
        "value": number * factor.value,
        "low": ranged["low"] * least,
        "high": ranged["high"] * most,
        "unit": price["unit"],
        "as_of": dates[0],
        "flag": "/".join(flags),
        "source": f"{factor.value:g} × ({price['source']}): {factor.source}"[:MAX_TEXT],
    }
