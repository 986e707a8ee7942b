"""``bench market new``: the user's own prices as a commented market file over another one."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.catalogue import ProfileError, load_market, units
from bench.catalogue.rooms import is_path
from bench.catalogue.sets import pairs, parse_number
from bench.catalogue.tomlfile import Unit
from bench.cli.market_check import today
from bench.cli.refusal import OK, STORAGE, USAGE, Refusal
from bench.machine import legible
from bench.records.market import FLAGS, MarketProfile

SETS = {"btc": units.USD, "power": units.POWER_PRICE, "difficulty": units.COUNT}
_PLAIN = re.compile(r"[\w.-]+", re.ASCII)
TIER = "own"
SOURCE = "given with bench market new"


@dataclass(frozen=True, slots=True)
class NewMarket:
    """The options of ``bench market new`` as given."""

    file: Path
    base: str
    sets: tuple[str, ...]
    tokens: tuple[str, ...]
    rents: tuple[str, ...]


def run_new(request: NewMarket) -> int:
    """Write the file and judge it; what cannot be used is not left behind."""
    file = request.file
    if file.suffix != ".toml" or not _PLAIN.fullmatch(file.stem):
        text = f"{legible(str(file))}: a market's file is a plain name ending in .toml"
        raise Refusal(USAGE, f"{text}; write for instance bench market new mine.toml")
    try:
        text = market_text(request, today())
        _write(file, text)
    except ProfileError as error:
        raise Refusal(USAGE, str(error)) from error
    print(f"Wrote {legible(str(file))}; judge it with: bench market check {legible(str(file))}")
    return OK


def market_text(request: NewMarket, day: dt.date) -> str:
    """The TOML of a market with the given prices; ``ProfileError`` where one cannot be used."""
    base = load_market(request.base)
    given = pairs("--set", " ".join(request.sets).split(), SETS)
    parts = [
        *_head(request),
        *_table("network", ["difficulty"], base, given, day),
        *_table("prices", ["btc", "power"], base, given, day),
        *_tokens(request.tokens, day),
        *_rents(request.rents, day),
    ]
    return "\n".join(parts)


def _head(request: NewMarket) -> Iterator[str]:
    flags = "; ".join(f"{letter} {what}" for letter, what in FLAGS.items())
    base = request.base
    if is_path(base):
        base = os.path.relpath(base, request.file.parent)
        base = base if is_path(base) else f"./{base}"
    about = (
        "A market of your own: what it does not say is that of its base, and lines that begin with"
        " # say nothing until you take that away. A value is { value, unit, as_of, flag, source },"
        f" with low and high where a range is known. Flags: {flags}. Hashprice follows from"
        " difficulty, BTC price and reward."
    )
    yield textwrap.fill(about, 96, initial_indent="# ", subsequent_indent="# ")
    yield f"name = {_quoted(request.file.stem)}"
    yield f"title = {_quoted(f'Own prices over {Path(request.base).stem}')}"
    yield f"base = {_quoted(base)}"


def _table(
    name: str, keys: Sequence[str], base: MarketProfile, given: dict[str, float], day: dt.date
) -> Iterator[str]:
    """The given values, and those of the base as comments to fill in."""
    now = {"difficulty": base.difficulty, "btc": base.btc_usd, "power": base.power_usd_per_j}
    yield f"\n[{name}]"
    for key in keys:
        if key in given:
            yield f"{key} = {_value(given[key], SETS[key], day)}"
        else:
            yield f"# {key} = {_value(now[key].value / SETS[key].factor, SETS[key], day)}"


def _tokens(words: Sequence[str], day: dt.date) -> Iterator[str]:
    for model_id, price in _priced("--token", words, units.TOKEN_PRICE):
        value = _value(price, units.TOKEN_PRICE, day)
        yield f"\n[[tokens]]\nmodel_id = {_quoted(model_id)}\nin = {value}\nout = {value}"
    if not words:
        yield "\n# [[tokens]] with model_id, in and out (USD/Mtok) prices a model's tokens."


def _rents(words: Sequence[str], day: dt.date) -> Iterator[str]:
    for gpu, price in _priced("--rent", words, units.RENT):
        value = _value(price, units.RENT, day)
        yield f"\n[[rents]]\ngpu = {_quoted(gpu)}\ntier = {_quoted(TIER)}\nprice = {value}"
    if not words:
        yield "\n# [[rents]] with gpu, tier and price (USD/h) prices a card's hours."
    yield ""


def _priced(option: str, words: Sequence[str], unit: Unit) -> Iterator[tuple[str, float]]:
    """``NAME=USD`` words; a name may hold an equals sign, the number not."""
    for word in words:
        name, equals, number = word.rpartition("=")
        if not (name and equals):
            why, cure = f"{word} is not NAME=USD", f"give a number in {unit.written} behind ="
            raise ProfileError(option, None, why, cure)
        yield name, parse_number(option, name, number, unit)


def _value(number: float, unit: Unit, day: dt.date) -> str:
    """A dated value as it is written in a profile."""
    return (
        f'{{ value = {number:.12g}, unit = "{unit.written}", as_of = "{day.isoformat()}",'
        f' flag = "G", source = "{SOURCE}" }}'
    )


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's, for all that a profile may hold."""
    return json.dumps(text, ensure_ascii=False)


def _write(file: Path, text: str) -> None:
    """Write a file that was not there, and take it away again if it is no market."""
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        why = "is there already; name another file, or remove it first"
        raise Refusal(USAGE, f"{legible(str(file))}: {why}") from None
    except OSError as error:
        why = f"cannot be written: {error.strerror}; name another file"
        raise Refusal(STORAGE, f"{legible(str(file))}: {why}") from error
    try:
        load_market(str(file))
    except ProfileError:
        file.unlink()
        raise
