"""A comparison as sheets: a table per kind of work, money, and the prices behind it.

The money of a workbook is live: its formulas read the prices sheet. Computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.compare import Compared, Row
from bench.compare.choice import Asked
from bench.compare.money import Worth
from bench.economics.units import HASHES_PER_PHS_DAY, J_PER_KWH, S_PER_HOUR
from bench.records.decision import Aged
from bench.records.market import MarketProfile, Value
from bench.records.run import Estimate
from bench.report.sheet import Alarm, Cell, Column, Live, Sheet
from bench.report.summary import label
from bench.verdict.inputs import INPUTS, read

NANO, GIGA, MILLI = 1e-9, 1e9, 1e-3
WORK, RATIO, FILES = "measured", "against the baseline", "files"
Runs = Mapping[tuple[str, str | None], int]
"""How many runs of each kind of work, by workload and tier, were given."""
MIDDLES = (
    "Money stands at the middle of every price and measurement; bench verdict gives the ranges."
)
HOW = (
    "× is this card over the baseline; from, to: the 95 % interval of repeatability, on logarithms"
    " from both t-intervals. A meter's gain, which all of its blocks share, is not in it.",
    "not separable: closer in energy/unit than the gain errors of both meters together (1σ;"
    " √2 · 6.6 % unless calibrated). Cards with one letter share a rank; rank 1 takes the least.",
)


@dataclass(frozen=True, slots=True)
class _Shown:
    """One column, the part of the screen that shows it, and how a row fills it."""

    part: str
    column: Column
    cell: Callable[[Row], Cell]


def _mid(found: Estimate | None, factor: float = 1.0) -> Cell:
    return None if found is None else found.mid * factor


def _half(found: Estimate | None) -> Cell:
    """Half the interval in per cent of the middle."""
    return None if found is None or not found.mid else 50 * (found.hi - found.lo) / abs(found.mid)


def _lo(found: Estimate | None) -> Cell:
    return None if found is None else found.lo


def _hi(found: Estimate | None) -> Cell:
    return None if found is None else found.hi


def _run(row: Row) -> str:
    status = row.entry.record.validity.status
    return status if row.entry.ranked or not row.entry.trusted else f"{status}, unranked"


def _standing(row: Row) -> Cell:
    match row.standing:
        case "comparable":
            return "yes"
        case "not comparable":
            return Alarm(row.standing)
        case "not separable":
            return f"{row.standing} without a wall meter"
    return row.standing


def _columns(table: Compared) -> tuple[_Shown, ...]:
    """What the table of this kind of work shows; of hashes no latencies, KL where one has it."""
    hashes = table.rows[0].entry.workload.unit == "hash"
    rate = ("GH/s", 1 / GIGA) if hashes else ("tok/s", 1.0)
    joules = ("nJ/hash", 1 / NANO) if hashes else ("J/tok", 1.0)
    latency = _Shown(WORK, Column("tpot", "TPOT p99", "ms"), _tpot)
    kl = _Shown(WORK, Column("kl", "KL", "nat"), lambda r: r.entry.kl)
    own = [*([] if hashes else [latency]), *([kl] if _quantised(table) else [])]
    return (
        _Shown(WORK, Column("point", "point"), lambda r: label(r.entry.workload)),
        _Shown(WORK, Column("rate", "rate", rate[0], 4), lambda r: _mid(_rate(r), rate[1])),
        _Shown(WORK, Column("rate_pm", "±", "%", 2), lambda r: _half(_rate(r))),
        _Shown(WORK, Column("watts", "power", "W"), lambda r: _mid(r.entry.workload.metrics.watts)),
        _Shown(
            WORK, Column("joules", "energy", joules[0], 4), lambda r: _mid(_joules(r), joules[1])
        ),
        _Shown(WORK, Column("joules_pm", "±", "%", 2), lambda r: _half(_joules(r))),
        *own,
        _Shown(WORK, Column("run", "run"), _run),
        _Shown(RATIO, Column("rate_ratio", "rate", "×", 4), lambda r: _mid(r.rate_ratio)),
        _Shown(RATIO, Column("rate_lo", "rate from", "×", 4), lambda r: _lo(r.rate_ratio)),
        _Shown(RATIO, Column("rate_hi", "rate to", "×", 4), lambda r: _hi(r.rate_ratio)),
        _Shown(RATIO, Column("joules_ratio", "energy", "×", 4), lambda r: _mid(r.joules_ratio)),
        _Shown(RATIO, Column("joules_lo", "energy from", "×", 4), lambda r: _lo(r.joules_ratio)),
        _Shown(RATIO, Column("joules_hi", "energy to", "×", 4), lambda r: _hi(r.joules_ratio)),
        _Shown(RATIO, Column("group", "alike"), lambda r: r.group),
        _Shown(RATIO, Column("rank", "rank"), lambda r: r.rank),
        _Shown(RATIO, Column("standing", "comparable"), _standing),
        _Shown(FILES, Column("why", "why"), lambda r: "; ".join(r.why) or None),
        _Shown(FILES, Column("codes", "codes"), _codes),
        _Shown(FILES, Column("run_id", "run id"), lambda r: r.entry.record.run_id),
        _Shown(FILES, Column("file", "file"), lambda r: r.entry.file),
    )


def _rate(row: Row) -> Estimate | None:
    return row.entry.workload.metrics.units_per_s


def _joules(row: Row) -> Estimate | None:
    return row.entry.workload.metrics.joules_per_unit


def _tpot(row: Row) -> Cell:
    return None if row.entry.tpot_s is None else row.entry.tpot_s / MILLI


def _quantised(table: Compared) -> bool:
    return any(row.entry.kl is not None for row in table.rows)


def _codes(row: Row) -> Cell:
    return ", ".join(code.name for code in row.entry.record.validity.codes) or None


def whole_sheets(tables: Sequence[Compared], asked: Asked, runs: Runs) -> list[Sheet]:
    """A sheet per kind of work with every column: what the files hold."""
    notes = _all_notes(tables, runs)
    return [
        _sheet(table, asked, (WORK, RATIO, FILES), own)
        for table, own in zip(tables, notes, strict=True)
    ]


def screen_sheets(tables: Sequence[Compared], asked: Asked, runs: Runs) -> Iterator[Sheet]:
    """The same for a terminal: what was measured, then how the others stand to the baseline."""
    for table, notes in zip(tables, _all_notes(tables, runs), strict=True):
        alone = len(table.rows) == 1
        yield _sheet(table, asked, (WORK,), notes if alone else ())
        if alone:
            continue
        against = f"{_kind(table)} {RATIO}, {table.rows[0].name}"
        yield replace(_sheet(table, asked, (RATIO,), notes), title=against)


def _sheet(table: Compared, asked: Asked, parts: tuple[str, ...], notes: tuple[str, ...]) -> Sheet:
    name = _Shown(WORK, Column("card", "card"), lambda row: row.name)
    shown = [name, *(each for each in _columns(table) if each.part in parts)]
    title = _kind(table)
    if table.rows[0].entry.workload.unit == "token":
        title = f"{title}, {asked.text}"
    return Sheet(
        title,
        table.rows[0].entry.workload.metrics.boundary,
        tuple(each.column for each in shown),
        tuple(tuple(each.cell(row) for each in shown) for row in table.rows),
        notes,
    )


def _kind(table: Compared) -> str:
    return table.workload if table.tier is None else f"{table.workload} {table.tier}"


def _all_notes(tables: Sequence[Compared], runs: Runs) -> list[tuple[str, ...]]:
    """Those of each table; how to read the ratios stands below the last, if there are any."""
    notes = [tuple(_notes(table, runs[table.workload, table.tier])) for table in tables]
    ratios = any(len(table.rows) > 1 for table in tables)
    return [*notes[:-1], (*notes[-1], *HOW)] if ratios else notes


def _notes(table: Compared, runs: int) -> Iterator[str]:
    """What was left out, why a card is held against nothing, and why joules are missing."""
    if runs > len(table.rows) == 1:
        yield (
            f"{runs} runs of one card: the one that says most; bench gate RUN --baseline OTHER"
            " holds one against another."
        )
    elif runs > len(table.rows):
        yield f"{runs} runs of {len(table.rows)} cards: of each the one that says most."
    for row in table.rows:
        if row.why:
            yield f"{row.name}, {row.standing}: {'; '.join(row.why)}."
        if (reason := row.entry.workload.metrics.reason) is not None:
            yield f"{row.name}: {reason}"
    if _quantised(table):
        yield "KL: mean KL(bf16 ‖ the rung) per token position, of quantised weights."


def money_sheet(found: Sequence[Worth], ages: Sequence[Aged], market: MarketProfile) -> Sheet:
    """Each card's uses at the stated prices, with a formula behind every figure of money."""
    columns = (
        Column("card", "card"),
        Column("use", "use"),
        Column("rate", "rate", "1/s", optional=True),
        Column("tokens_in", "in per out", optional=True),
        Column("hours", "hours sold", optional=True),
        Column("busy", "busy", "W, wall", optional=True),
        Column("idle", "idle", "W, wall", optional=True),
        Column("mean", "mean", "kW", optional=True),
        Column("charge", "capital", "1/h of price", optional=True),
        Column("kwh", "earns", "USD/kWh"),
        Column("kwh_net", "less power", "USD/kWh"),
        Column("hour", "earns", "USD/h"),
        Column("hour_net", "less power", "USD/h"),
        Column("hour_full", "less capital", "USD/h"),
    )
    names = _PriceNames(found)
    rows = tuple(_money(each, names) for each in found)
    reasons = dict.fromkeys(f"{w.name} {w.code}: {w.reason}" for w in found if w.reason)
    return Sheet(
        f"Money at the stated prices, market {market.title}",
        "facility",
        columns,
        rows,
        (*_aged(ages), *reasons, MIDDLES),
        name="money",
    )


class _PriceNames:
    """What the rows of prices that belong to a model or a card are called in formulas."""

    def __init__(self, found: Sequence[Worth]) -> None:
        self.tokens = list(dict.fromkeys(w.model for w in found if w.token is not None))
        self.rents = list(dict.fromkeys(_card(w) for w in found if w.rent is not None))
        priced = (w for w in found if w.gpu is not None and w.gpu.price_usd is not None)
        self.cards = list(dict.fromkeys(map(_card, priced)))


def _card(worth: Worth) -> str:
    """By its profile, so that runs of one model of card share their prices."""
    return worth.name if worth.gpu is None else worth.gpu.name


def _money(worth: Worth, names: _PriceNames) -> tuple[Cell, ...]:
    hours: Cell = worth.utilisation
    if worth.code != "MINE":
        share = "served" if worth.code == "SERVE" else "rented"
        hours = Live(worth.utilisation, f"{{prices.{share}.value}}")
    mean = _live(
        None if worth.mean_w is None else worth.mean_w * MILLI,
        "({busy}*{hours}+{idle}*(1-{hours}))*{prices.pue.value}/1000",
    )
    power = "{prices.power.value}"
    return (
        worth.name,
        worth.code,
        worth.units_per_s,
        worth.tokens_in if worth.code == "SERVE" else None,
        hours,
        worth.busy_w,
        worth.idle_w,
        mean,
        None if worth.capital_per_usd is None else worth.capital_per_usd * S_PER_HOUR,
        _live(_times(worth.usd_per_j, J_PER_KWH), "{hour}/{mean}"),
        _live(_times(worth.net_usd_per_j, J_PER_KWH), f"{{kwh}}-{power}"),
        _live(_times(worth.usd_per_s, S_PER_HOUR), _earning(worth, names)),
        _live(_times(worth.net_usd_per_s, S_PER_HOUR), f"{{hour}}-{{mean}}*{power}"),
        _live(_times(worth.full_usd_per_s, S_PER_HOUR), _owning(worth, names)),
    )


def _times(number: float | None, factor: float) -> float | None:
    return None if number is None else number * factor


def _live(number: float | None, formula: str) -> Cell:
    return None if number is None else Live(number, formula)


def _earning(worth: Worth, names: _PriceNames) -> str:
    """USD per hour, all hours counted."""
    if worth.code == "MINE":
        paid = f"{{prices.hashprice.value}}/{HASHES_PER_PHS_DAY:g}*(1-{{prices.fee.value}})"
        return f"{{rate}}*3600*{paid}"
    if worth.code == "RENT":
        number = names.rents.index(_card(worth))
        return f"{{prices.rent{number}.value}}*{{hours}}*(1-{{prices.cut.value}})"
    if worth.token is None:
        return ""
    number = names.tokens.index(worth.model)
    prices = f"({{tokens_in}}*{{prices.in{number}.value}}+{{prices.out{number}.value}})"
    return f"{{rate}}*3600*{{hours}}*{prices}/1000000"


def _owning(worth: Worth, names: _PriceNames) -> str:
    """Net of capital, and of the place that can feed the card's busy watts: 8760 hours a year."""
    if _card(worth) not in names.cards:
        return ""
    price = f"{{prices.card{names.cards.index(_card(worth))}.value}}"
    place = "{busy}/1000*{prices.colocation.value}*12/8760"
    return f"{{hour_net}}-{price}*{{charge}}-{place}"


def prices_sheet(found: Sequence[Worth], market: MarketProfile) -> Sheet:
    """The prices that the money rests on; in a workbook they may be changed."""
    columns = (
        Column("what", "price"),
        Column("value", "value", digits=5),
        Column("unit", "unit"),
        Column("as_of", "as of"),
        Column("flag", "flag"),
        Column("source", "source"),
    )
    rows = dict(_prices(found, market))
    notes = (
        "In a workbook: change a value, and the money of its sheet follows. The capital of a card"
        " follows its price; discount rate, life and the rest of its server are as stated.",
    )
    return Sheet("Prices", "facility", columns, tuple(rows.values()), notes, "prices", tuple(rows))


def _prices(
    found: Sequence[Worth], market: MarketProfile
) -> Iterator[tuple[str, tuple[Cell, ...]]]:
    """Name and row of each; hashprice follows from what stands above it."""
    for name in ("power", "pue", "btc", "difficulty"):
        yield name, _input(name, market)
    yield "reward", _price("block reward", market.reward_btc, "BTC")
    hashprice = Live(
        market.hashprice_usd_per_hash.value * HASHES_PER_PHS_DAY,
        f"{HASHES_PER_PHS_DAY:g}*{{prices.reward.value}}*{{prices.btc.value}}"
        "/({prices.difficulty.value}*2^48/65535)",
    )
    _, _, *rest = _price("hashprice", market.hashprice_usd_per_hash, "USD/PH/s/day")
    yield "hashprice", ("hashprice", hashprice, *rest)
    for name in ("fee", "served", "rented", "cut", "colocation"):
        yield name, _input(name, market)
    yield from _own_prices(found)


def _own_prices(found: Sequence[Worth]) -> Iterator[tuple[str, tuple[Cell, ...]]]:
    """Of models and cards."""
    names, mtok = _PriceNames(found), INPUTS["token"].factor
    for worth in found:
        if worth.token is not None:
            number, token = names.tokens.index(worth.model), worth.token
            for way, value in (("in", token.in_usd_per_token), ("out", token.out_usd_per_token)):
                what = f"{worth.model} tokens {way}"
                yield f"{way}{number}", _price(what, value, "USD/Mtok", mtok)
        if worth.rent is not None:
            number, value = names.rents.index(_card(worth)), worth.rent.usd_per_s
            yield (
                f"rent{number}",
                _price(f"rent of {_card(worth)}", value, "USD/h", 1 / S_PER_HOUR),
            )
        if worth.gpu is not None and worth.gpu.price_usd is not None:
            number = names.cards.index(_card(worth))
            yield f"card{number}", _price(f"price of {_card(worth)}", worth.gpu.price_usd, "USD")


def _input(name: str, market: MarketProfile) -> tuple[Cell, ...]:
    held, value = INPUTS[name], read(market, name)
    assert value is not None, "only tokens and rents have many"
    return _price(held.what, value, held.shown, held.factor)


def _price(what: str, value: Value, unit: str, factor: float = 1.0) -> tuple[Cell, ...]:
    return what, value.value / factor, unit, value.as_of, value.flag, value.source


def _aged(ages: Sequence[Aged]) -> list[str]:
    """The oldest price; the dates of all stand beside them."""
    if not ages:
        return []
    oldest = max(ages, key=lambda age: age.age_days)
    stale = " (STALE)" if any(age.stale for age in ages) else ""
    return [f"Oldest price: {oldest.what} of {oldest.as_of}, {oldest.age_days} days{stale}."]
