"""A decision as tables: uses, ladder, flips, swings, a grid. Each has one boundary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from bench.economics.chain import first_day
from bench.economics.units import J_PER_MWH
from bench.figures import figures
from bench.records.decision import Decision, Flip, FlipGrid, Money, Option, Reference
from bench.records.market import FLAGS, GpuProfile, MarketProfile, ModelConfig, Value
from bench.records.run import Code
from bench.report.sheet import Cell, Column, Sheet
from bench.verdict.ages import (
    ASIC_LIMIT_DAYS,
    DIFFICULTY_LIMIT_DAYS,
    PRICE_LIMIT_DAYS,
    RENT_LIMIT_DAYS,
    TOKEN_LIMIT_DAYS,
)
from bench.verdict.inputs import INPUTS, Input, read
from bench.verdict.options import rent_price, token_price
from bench.verdict.stack import StackGap

KWH_PER_MWH = 1e3
LIMIT_DAYS = {
    "btc": PRICE_LIMIT_DAYS,
    "difficulty": DIFFICULTY_LIMIT_DAYS,
    "rent": RENT_LIMIT_DAYS,
    "token": TOKEN_LIMIT_DAYS,
    "asic": ASIC_LIMIT_DAYS,
}
"""What is priced anew all the time, and from when on an old price is stale."""
_MONEY = ("p50", "p10", "p90")


def answer(decision: Decision, context: str, codes: Sequence[Code]) -> Sheet:
    """The answer in one row and its sentence: what must not be lost where tables travel alone."""
    columns = (
        Column("code", "verdict"),
        Column("label", "label"),
        Column("probability", "P"),
        Column("best", "best"),
        Column("runner_up", "runner-up"),
        Column("stale", "stale prices"),
    )
    row: tuple[Cell, ...] = (
        decision.code,
        decision.label,
        decision.probability,
        decision.best,
        decision.runner_up,
        decision.stale,
    )
    notes = (decision.sentence, *(f"{code.name}: {code.text}" for code in codes))
    return Sheet(f"Verdict: {context}", decision.boundary, columns, (row,), notes)


def uses(decision: Decision) -> Sheet:
    """Every use of the card, best first, then the same kWh in an ASIC."""
    columns = (
        Column("use", "use"),
        Column("kwh", "earns", "USD/kWh"),
        Column("p10", "P10", "USD/kWh"),
        Column("p90", "P90", "USD/kWh"),
        Column("net", "- power", "USD/kWh"),
        Column("hour", "earns", "USD/h"),
        Column("hour_net", "- power", "USD/h"),
        Column("hour_full", "- capital", "USD/h"),
    )
    rows = [_use(option) for option in decision.options]
    rows += [_reference(reference) for reference in decision.references]
    return Sheet(
        "Uses of a paid kWh, and of a device-hour: medians",
        decision.boundary,
        columns,
        tuple(rows),
        tuple(_notes(decision)),
    )


def _use(option: Option) -> tuple[Cell, ...]:
    kwh, net = option.usd_per_kwh, option.usd_per_kwh_net
    return (
        option.code,
        *(None if kwh is None else getattr(kwh, key) for key in _MONEY),
        _p50(net),
        _p50(option.usd_per_device_h),
        _p50(option.usd_per_device_h_net),
        _p50(option.usd_per_device_h_full),
    )


def _reference(found: Reference) -> tuple[Cell, ...]:
    kwh = found.usd_per_kwh
    name = f"{found.role} ASIC"
    return (name, kwh.p50, kwh.p10, kwh.p90, found.usd_per_kwh_net.p50, None, None, None)


def _p50(money: Money | None) -> float | None:
    return None if money is None else money.p50


def _notes(decision: Decision) -> Iterator[str]:
    """What the rows are, why figures are missing, and how the facility's kWh follow."""
    for option in decision.options:
        if option.code == "OFF":
            continue
        yield f"{option.code}: {option.reason or option.what}"
        if option.full_reason not in (None, option.reason):
            yield f"{option.code}, capital: {option.full_reason}"
    for found in decision.references:
        yield f"{found.role} ASIC: {found.title}, {found.joules_per_hash * 1e12:.3g} J/TH"
    yield from (f"assumed: {text}" for text in decision.assumptions)
    yield from _factors([option for option in decision.options if option.wall_factor])


def _factors(options: list[Option]) -> Iterator[str]:
    """From where power was measured to the meter that is paid."""
    if options:
        each = ", ".join(f"{o.code} {o.wall_factor:.3f}" for o in options)
        source = f"PUE {options[0].pue:g}; {options[0].wall_factor_source}"
        boundary = next((o.boundary for o in options if o.boundary is not None), "board")
        yield f"wall over {boundary}: {each}; facility over wall: {source}"


def ladder(decision: Decision, power_usd_per_j: float) -> Sheet:
    """Break-even power prices, the highest first; the present power price cuts the list in two."""
    columns = (
        Column("name", "use"),
        Column("price", "pays below", "USD/MWh"),
        Column("p10", "P10", "USD/MWh"),
        Column("p90", "P90", "USD/MWh"),
        Column("runs", "pays now"),
        Column("mark", "rests on"),
    )
    rows: list[tuple[Cell, ...]] = []
    now = ("— power costs —", power_usd_per_j * J_PER_MWH, None, None, None, "")
    for rung in decision.ladder:
        if not rung.runs and now not in rows:
            rows.append(now)
        worth = rung.break_even_usd_per_kwh
        prices = [getattr(worth, key) * KWH_PER_MWH for key in _MONEY]
        rows.append((rung.name, *prices, rung.runs, rung.mark))
    if now not in rows:
        rows.append(now)
    return Sheet("Strike prices", decision.boundary, columns, tuple(rows))


def flips(decision: Decision) -> Sheet | None:
    """Where the answer changes, the nearest first, then what ASICs and unsold tokens ask for."""
    thresholds = sorted(decision.flips, key=_distance) + list(decision.break_evens)
    if not thresholds:
        return None
    columns = (
        Column("winner", "winner"),
        Column("loser", "over"),
        Column("what", "once"),
        Column("direction", "is"),
        Column("at", "at"),
        Column("unit", ""),
        Column("now", "now"),
        Column("away", "×"),
        Column("btc", "at", "BTC"),
    )
    rows = tuple(
        (f.winner, f.loser, f.what, f.direction, f.at, f.unit, f.now, f.ratio, f.at_btc)
        for f in thresholds
    )
    notes = tuple(f"{f.winner} against {f.loser}: {f.reason}" for f in thresholds if f.reason)
    return Sheet("Flips and break-evens", decision.boundary, columns, rows, notes)


def _distance(flip: Flip) -> float:
    """How many times up or down the input must go; those that no value reaches come last."""
    if flip.ratio is None:
        return float("inf")
    return max(flip.ratio, 1 / flip.ratio)


def swings(decision: Decision) -> Sheet | None:
    """The tornado: what each input's own range does to the best use's device-hour."""
    if not decision.swings:
        return None
    columns = (
        Column("what", "input"),
        Column("unit", "unit"),
        Column("low", "P10"),
        Column("high", "P90"),
        Column("at_low", "at P10", "USD/h"),
        Column("at_high", "at P90", "USD/h"),
        Column("best", "leads"),
    )
    rows = tuple(
        (
            s.what,
            s.unit,
            s.low,
            s.high,
            s.at_low,
            s.at_high,
            s.best_at_low
            if s.best_at_low == s.best_at_high
            else f"{s.best_at_low} → {s.best_at_high}",
        )
        for s in decision.swings
    )
    kind = "capital included" if decision.swings[0].full else "net of power"
    title = f"What moves a device-hour of {decision.best} ({kind}), one input at a time"
    return Sheet(title, decision.boundary, columns, rows)


def grid(found: FlipGrid, decision: Decision) -> Sheet:
    """Which use leads where two inputs stand."""
    columns = (
        Column("down", f"{found.down} [{found.down_unit}]"),
        *(Column(f"x{i}", f"{x:.3g}") for i, x in enumerate(found.xs)),
    )
    rows = tuple((y, *leaders) for y, leaders in zip(found.ys, found.leaders, strict=True))
    title = f"Who leads, by {found.down} (down) and {found.across} [{found.across_unit}] (across)"
    return Sheet(title, decision.boundary, columns, rows)


def prices(
    market: MarketProfile, model: ModelConfig | None, gpu: GpuProfile | None, today: date
) -> Sheet:
    """What the decision rests on: each value with its range, date, flag and source."""
    columns = (
        Column("what", "rests on"),
        Column("value", "value", digits=4),
        Column("unit", ""),
        Column("low", "from"),
        Column("high", "to"),
        Column("as_of", "as of"),
        Column("stale", "stale"),
        Column("flag", "flag"),
        Column("source", "source", optional=True),
    )
    rows = [
        _price(INPUTS[name], value, LIMIT_DAYS.get(name), today)
        for name, value in _of_market(market, model, gpu)
    ]
    if gpu is not None:
        for what, unit, value, limit in (
            ("card's price", "USD", gpu.price_usd, ASIC_LIMIT_DAYS),
            ("host's share", "W", gpu.host_w, None),
            ("supply", "1", gpu.psu_efficiency, None),
        ):
            if value is not None:
                rows.append(_price(Input(what, unit), value, limit, today))
    letters = sorted({letter for row in rows for letter in str(row[7]).split("/")})
    legend = "flags: " + ", ".join(f"{letter} {FLAGS[letter]}" for letter in letters)
    return Sheet("Prices and assumptions", "facility", columns, tuple(rows), (legend,))


def _of_market(
    market: MarketProfile, model: ModelConfig | None, gpu: GpuProfile | None
) -> Iterator[tuple[str, Value]]:
    """Inputs with their values: of tokens the price of generated ones, of rents the card's."""
    tokens, rent = token_price(market, model), rent_price(market, gpu)
    own = {
        "token": None if tokens is None else tokens.out_usd_per_token,
        "rent": None if rent is None else rent.usd_per_s,
    }
    for name in INPUTS:
        value = own.get(name) or read(market, name)
        if value is not None and name != "utilisation" and (name != "wall" or gpu is None):
            yield name, value


def _price(held: Input, value: Value, limit_days: int | None, today: date) -> tuple[Cell, ...]:
    stale = None if limit_days is None else (today - first_day(value.as_of)).days > limit_days
    low, high = (None if end is None else end / held.factor for end in (value.low, value.high))
    number = value.value / held.factor
    return (
        held.what,
        number,
        held.shown,
        low,
        high,
        value.as_of,
        {None: None, False: "", True: "STALE"}[stale],
        value.flag,
        value.source,
    )


def exchange(decision: Decision) -> str | None:
    """The exchange rate of a joule between a token and a hash, on one line."""
    found = decision.exchange
    if found is None:
        return None
    price = found.usd_per_token / INPUTS["token"].factor
    return (
        f"Exchange rate while busy: a token takes {found.joules_per_token:.3g} J at the facility;"
        f" at ${price:.3g}/Mtok those joules earn the same in the {found.asic}."
    )


def stack_gap(gap: StackGap) -> str:
    """An engine beside our loop on the same device, on one line."""
    joules = "" if gap.joules is None else f" and {figures(gap.joules)}× its joules per token"
    return (
        f"Stack gap on {gap.device}: the engine ({gap.engine_point}) makes"
        f" {figures(gap.rate)}× the tokens/s of our loop ({gap.loop_point}){joules}."
    )
