"""The procurement table as sheets: kWh, $/Mtok, GH/s and per cent begin here. Computes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.economics.units import J_PER_MWH, S_PER_HOUR, S_PER_YEAR
from bench.figures import figures
from bench.predict.ages import PriceKind, Stale
from bench.predict.draws import DOUBTFUL_HALF
from bench.predict.flags import WORST, assumed
from bench.predict.priors import PRIORS, TPOT_MARGIN
from bench.predict.row import Flags, Row, Spread, Table
from bench.predict.standing import SEPARABLE
from bench.records.market import Value
from bench.report.sheet import Cell, Column, Sheet

GIGA, NANO, MEGA, KILO = 1e9, 1e9, 1e6, 1e3


@dataclass(frozen=True, slots=True)
class _Shown:
    """One column, the table of the screen that shows it, and how a row fills it."""

    part: str
    column: Column
    cell: Callable[[Row], Cell]


def _mid(found: Spread | None, factor: float = 1.0) -> Cell:
    return None if found is None else found.mid * factor


def _half(found: Spread | None) -> Cell:
    """Half of the central 95 % of the draws, in per cent of the middle."""
    return None if found is None else 50 * (found.p97 - found.p2) / found.mid


def _range(found: Spread | None, factor: float) -> Cell:
    if found is None:
        return None
    return f"{figures(found.p10 * factor, 2)} to {figures(found.p90 * factor, 2)}"


def _scaled(number: float | None, factor: float) -> Cell:
    return None if number is None else number * factor


def _places(row: Row) -> Cell:
    return None if row.rank is None else f"{row.rank.p10} to {row.rank.p90}"


def _first(row: Row) -> Cell:
    return None if row.rank is None else round(row.rank.p_best, 3)


def _as_of(value: Value | None) -> Cell:
    return None if value is None else value.as_of


ALL, WORK, ENERGY, COST, RETURN = "all", "Work", "Energy", "Cost and rank", "Return"
FILES = "files"
_FLAGS: dict[str, Callable[[Flags], str]] = {
    WORK: lambda flags: flags.work,
    ENERGY: lambda flags: flags.energy,
    COST: lambda flags: flags.cost,
    RETURN: lambda flags: flags.earned,
}
_EVERY: tuple[_Shown, ...] = (
    _Shown(ALL, Column("card", "card"), lambda r: r.name),
    _Shown(ALL, Column("mark", "mark"), lambda r: r.mark),
    _Shown(FILES, Column("flags", "flags"), lambda r: _worst(r.flags)),
    _Shown(WORK, Column("batch", "batch"), lambda r: "refused" if r.why_not else r.batch),
    _Shown(WORK, Column("tpot", "TPOT p99", "ms"), lambda r: _scaled(r.tpot_s, KILO)),
    _Shown(WORK, Column("tok_s", "tok/s"), lambda r: _mid(r.tokens_per_s)),
    _Shown(
        WORK, Column("hash_rate", "hash rate", "GH/s"), lambda r: _mid(r.hashes_per_s, 1 / GIGA)
    ),
    _Shown(ENERGY, Column("j_hash", "energy/hash", "nJ"), lambda r: _mid(r.joules_per_hash, NANO)),
    _Shown(ENERGY, Column("j_hash_pm", "±", "%", 2), lambda r: _half(r.joules_per_hash)),
    _Shown(ENERGY, Column("j_token", "energy/token", "J"), lambda r: _mid(r.joules_per_token)),
    _Shown(ENERGY, Column("j_token_pm", "±", "%", 2), lambda r: _half(r.joules_per_token)),
    _Shown(ENERGY, Column("tok_s_kw", "tok/s per kW"), lambda r: _mid(r.tokens_per_j, KILO)),
    _Shown(ENERGY, Column("factor", "× board"), lambda r: r.facility_over_board),
    _Shown(ENERGY, Column("group", "alike"), lambda r: r.group),
    _Shown(
        FILES, Column("price", "price", "USD"), lambda r: None if r.price is None else r.price.value
    ),
    _Shown(FILES, Column("price_as_of", "price as of"), lambda r: _as_of(r.price)),
    _Shown(COST, Column("rank", "rank"), lambda r: None if r.rank is None else r.rank.mid),
    _Shown(COST, Column("rank_range", "P10–P90"), _places),
    _Shown(COST, Column("p_best", "P(best)", None, 2), _first),
    _Shown(COST, Column("front", "Pareto front"), lambda r: r.front),
    _Shown(
        COST, Column("cost", "full cost", "USD/Mtok"), lambda r: _mid(r.money.usd_per_token, MEGA)
    ),
    _Shown(
        COST,
        Column("cost_range", "P10–P90", "USD/Mtok"),
        lambda r: _range(r.money.usd_per_token, MEGA),
    ),
    _Shown(
        COST,
        Column("break_even", "break-even", "USD/Mtok"),
        lambda r: _mid(r.money.token_price_usd, MEGA),
    ),
    _Shown(
        RETURN,
        Column("revenue", "revenue", "USD/MWh"),
        lambda r: _mid(r.money.revenue_usd_per_j, J_PER_MWH),
    ),
    _Shown(
        RETURN,
        Column("margin", "margin", "USD/MWh"),
        lambda r: _mid(r.money.margin_usd_per_j, J_PER_MWH),
    ),
    _Shown(
        RETURN,
        Column("strike", "strike", "USD/MWh"),
        lambda r: _mid(r.money.strike_usd_per_j, J_PER_MWH),
    ),
    _Shown(
        RETURN,
        Column("rent", "rent", "USD/h"),
        lambda r: _scaled(r.money.rent_usd_per_s, S_PER_HOUR),
    ),
    _Shown(FILES, Column("rent_as_of", "rent as of"), lambda r: _as_of(r.rent)),
    _Shown(
        RETURN,
        Column("required_rent", "required", "USD/h"),
        lambda r: _mid(r.money.required_rent_usd_per_s, S_PER_HOUR),
    ),
    _Shown(
        RETURN,
        Column("payback", "payback", "year"),
        lambda r: _scaled(r.money.payback_s, 1 / S_PER_YEAR),
    ),
    _Shown(RETURN, Column("npv_usd", "NPV/USD"), lambda r: _mid(r.money.npv_per_usd)),
    _Shown(RETURN, Column("npv_kw", "NPV", "USD/kW"), lambda r: _mid(r.money.npv_per_w, KILO)),
    _Shown(RETURN, Column("p_loss", "P(loss)", None, 2), lambda r: r.money.p_loss),
)
_REMARK = Column("remark", "remark")


def whole_sheet(table: Table, stale: Sequence[Stale]) -> Sheet:
    """Every column and each row's remarks: what the files hold."""
    rows = tuple(
        (*(shown.cell(row) for shown in _EVERY), "; ".join(_remarks(row)) or None)
        for row in table.rows
    )
    columns = (*(shown.column for shown in _EVERY), _REMARK)
    return Sheet(_title(table), "facility", columns, rows, (*_aged(stale), *_notes(table)))


def screen_sheets(table: Table, stale: Sequence[Stale]) -> tuple[Sheet, ...]:
    """The same for a terminal, in parts that fit it, with the notes below the last."""
    parts = (WORK, ENERGY, COST, RETURN)
    notes = (*_aged(stale), *_notes(table), *_gathered(table))
    return tuple(_part(table, part, notes if part == parts[-1] else ()) for part in parts)


def _part(table: Table, part: str, notes: tuple[str, ...]) -> Sheet:
    """The flags of a part are those of the values that its own figures rest on."""
    flags = _Shown(part, Column("flags", "flags"), lambda row: _FLAGS[part](row.flags) or None)
    named = [each for each in _EVERY if each.part == ALL]
    shown = [*named, flags, *(each for each in _EVERY if each.part == part)]
    title = f"{part}: {_title(table)}"
    rows = tuple(tuple(each.cell(row) for each in shown) for row in table.rows)
    return Sheet(title, "facility", tuple(each.column for each in shown), rows, notes)


def _title(table: Table) -> str:
    return f"{table.asked.text}; market {table.market.title}"


def _worst(flags: Flags) -> Cell:
    """All letters of all parts."""
    every = "".join(letters(flags) for letters in _FLAGS.values())
    return "".join(letter for letter in WORST if letter in every) or None


_PRICES: dict[PriceKind, tuple[str, str, float]] = {
    "card": ("card prices", "USD", 1.0),
    "rent": ("rents", "USD/h", S_PER_HOUR),
    "token": ("token prices", "USD/Mtok", MEGA),
}


def _aged(stale: Sequence[Stale]) -> list[str]:
    """One line a kind of price: each with its card, figure, date and age."""
    lines = []
    for kind, (what, unit, factor) in _PRICES.items():
        found = [each for each in stale if each.kind == kind]
        if found:
            each_said = "; ".join(
                f"{each.of} {each.value.value * factor:,.6g} {unit} of {each.value.as_of},"
                f" {each.age_days} days"
                for each in found
            )
            lines.append(f"STALE {what}, older than {found[0].limit_days} days: {each_said}.")
    return lines


def _remarks(row: Row) -> tuple[str, ...]:
    return row.notes if row.why_not is None else (f"refused: {row.why_not}", *row.notes)


def _gathered(table: Table) -> list[str]:
    """The remarks once each, with the cards they are about."""
    cards: dict[str, list[str]] = defaultdict(list)
    for row in table.rows:
        for remark in _remarks(row):
            cards[remark].append(row.name)
    return [f"{', '.join(names)}: {remark}" for remark, names in cards.items()]


def _notes(table: Table) -> tuple[str, ...]:
    """How to read the table: marks, intervals, boundary, rank."""
    notes = [
        f"predicted: roofline × {_factors()}; decode at batch 64.",
        f"± is 95 % of {table.draws} draws, seed {table.seed}; a card's price in doubt that states"
        f" no range is drawn ± {DOUBTFUL_HALF:.0%}.",
        "energy and money stand where power is paid: (board + host)/supply × PUE of the card's and"
        " the market's profiles; × board is that factor while serving.",
        f"TPOT p99 is taken as {TPOT_MARGIN:g} × its mean; rates count generated tokens, prefill"
        " and decode share the card.",
        "full cost: card, server, power and space over the card's life, per generated token;"
        " break-even: the price of every token, in and out, while prices fall as rents do; strike:"
        " the power price at which NPV is 0; required: the rent that pays for the card.",
        f"alike: closer in energy/token than two board sensors' gain ({SEPARABLE:.1%}, 1σ): not"
        " separable without a wall meter. rank, P(best): by full cost; Pareto front: energy/token,"
        " full cost, tok/s.",
        "NPV counts no power and space that tokens do not pay for: a card that loses by running"
        " stands still.",
        "flags, of the values behind the figures of each table: U unknown, C sources conflict,"
        " M from memory, A assumption.",
        f"assumed (A) by this market: {', '.join(assumed(table.market)) or 'nothing'}.",
    ]
    if table.price is None:
        model = table.asked.model.name
        notes.append(
            f"NO MARKET for {model}: its tokens have no price here, so no revenue, return or"
            " strike; break-even says what they must fetch."
        )
    return (*notes, *_taught(table))


def _factors() -> str:
    return ", ".join(f"{kind} {prior.mid:g} ± {prior.half:.0%}" for kind, prior in PRIORS.items())


def _taught(table: Table) -> list[str]:
    """What measured cards replaced priors with."""
    found = []
    for (family, kind), factor in sorted(table.learned.items()):
        text = (
            f"{family} {kind}: × {figures(factor.mid)} ± {factor.half:.0%} from"
            f" {', '.join(factor.cards)}"
        )
        if factor.left_out is not None:
            text += f"; leave-one-out error {factor.left_out:.1%}"
        found.append(f"{text}.")
    return found
