"""Cards that nobody measured beside those that were: roofline × calibration, with an interval.

Every predicted row says so; what cannot be served or cannot be true is refused with its numbers.
Nothing here reads a file: profiles, runs and a market come in, rows go out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.economics.units import Array
from bench.predict.calibrate import Learned, factor_for, learn, own_factors
from bench.predict.card import Card, Hashing, Subject, at_work, doubtful_lanes, hashing
from bench.predict.draws import Dice, Stage, draw_stage
from bench.predict.flags import row_flags
from bench.predict.limits import why_not
from bench.predict.measured import Measured
from bench.predict.owner import Costs, costs, earned, returned
from bench.predict.point import Asked
from bench.predict.priors import KINDS
from bench.predict.row import Flags, Money, Row, Table, spread
from bench.predict.standing import front, inseparable, ranks
from bench.records.market import GpuProfile, MarketProfile, RentPrice, TokenPrice

DRAWS = 20_000
STANDS_STILL = (
    "power and space cost more than its tokens fetch: it would not run, NPV is capital lost"
)


@dataclass(frozen=True, slots=True)
class _Setting:
    """What all rows have in common."""

    asked: Asked
    stage: Stage
    learned: Learned
    market: MarketProfile
    price: TokenPrice | None
    rents: Mapping[str, RentPrice]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A row and the arrays that its standing is taken from."""

    row: Row
    ranked: bool
    cost: Array | None = None


def table(
    asked: Asked,
    gpus: Sequence[GpuProfile],
    runs: Sequence[Measured],
    market: MarketProfile,
    *,
    price: TokenPrice | None,
    rents: Mapping[str, RentPrice],
    seed: int,
    draws: int = DRAWS,
    simulated_teach: bool = False,
) -> Table:
    """A row for every run and for every card of ``gpus`` that has none.

    ``price`` is that of the model's tokens, null without a market; ``rents`` by card name.
    """
    learned = learn(runs, simulated=simulated_teach)
    stage = draw_stage(market, price, Dice(seed, draws))
    setting = _Setting(asked, stage, learned, market, price, rents)
    ran = [run.gpu.name for run in runs]
    drawn = [_of_run(run, setting, alone=ran.count(run.gpu.name) == 1) for run in runs]
    drawn += [_predicted(gpu, setting) for gpu in gpus if gpu.name not in ran]
    rows = sorted(_stood(drawn), key=_order)
    return Table(asked, tuple(rows), learned, market, price, seed, draws)


def _of_run(run: Measured, setting: _Setting, *, alone: bool) -> _Drawn:
    factors = own_factors(run, setting.learned)
    name = run.gpu.name if alone else f"{run.gpu.name} {run.run_id}"
    drawn = _drawn(Subject(name, run.gpu, factors, run.idle_w), _mark(run), setting)
    notes = list(drawn.row.notes)
    if run.asked is not None:
        known = run.asked
        notes.append(
            f"tokens moved from {known.model.name} {known.precision} batch {known.batch} context"
            f" {known.mean_context:g}"
        )
    if not run.ranked:
        notes.append("the run is UNRANKED: no rank")
    row = replace(drawn.row, run_id=run.run_id, notes=tuple(notes))
    return replace(drawn, row=row, ranked=run.ranked)


def _predicted(gpu: GpuProfile, setting: _Setting) -> _Drawn:
    learned = setting.learned
    factors = {kind: factor_for(learned, gpu.architecture, kind) for kind in KINDS}
    return _drawn(Subject(gpu.name, gpu, factors), "predicted", setting)


def _drawn(subject: Subject, mark: str, setting: _Setting) -> _Drawn:
    gpu, asked, stage = subject.gpu, setting.asked, setting.stage
    rent = setting.rents.get(gpu.name)
    row = Row(subject.name, gpu.title, mark, None, Flags(), notes=_notes(gpu))
    hashed = hashing(subject, stage)
    row = _hash_side(row, subject, hashed)
    refused = why_not(gpu, asked)
    card = None if refused else at_work(subject, asked, stage, hashed)
    flags = row_flags(gpu, asked, setting.market, setting.price, rent, serves=card is not None)
    row = replace(row, flags=flags)
    if card is None:
        why = refused or _too_slow(asked)
        return _Drawn(replace(row, why_not=why), ranked=False)
    power, tokens = card.serving.power, card.serving.tokens_per_s
    row = replace(
        row,
        batch=card.serving.batch,
        tpot_s=card.serving.tpot_s,
        tokens_per_s=spread(tokens),
        joules_per_token=spread(power.facility_w / tokens),
        board_joules_per_token=spread(power.board_w / tokens),
        tokens_per_j=spread(tokens / power.facility_w),
        facility_over_board=float(power.facility_w[0] / power.board_w[0]),
        price=gpu.price_usd,
        rent=None if rent is None else rent.usd_per_s,
    )
    owned = None if gpu.price_usd is None else costs(card, gpu.price_usd, stage)
    money = _money(card, owned, rent, stage)
    if money.stands_still:
        row = replace(row, notes=(*row.notes, STANDS_STILL))
    if owned is None:
        row = replace(row, notes=(*row.notes, "no buy price: no cost, return or rank"))
    if rent is None:
        row = replace(row, notes=(*row.notes, "no rent in this market"))
    cost = None if owned is None else owned.usd_per_token
    return _Drawn(replace(row, money=money), ranked=row.hashes_per_s is not None, cost=cost)


def _hash_side(row: Row, subject: Subject, found: Hashing | None) -> Row:
    if found is None:
        capability = subject.gpu.compute_capability
        note = f"for reference, not ranked: no hash kernel for {capability}; priors are NVIDIA's"
        return replace(row, notes=(*row.notes, note))
    return replace(
        row,
        hashes_per_s=spread(found.hashes_per_s),
        joules_per_hash=spread(found.power.facility_w / found.hashes_per_s),
        board_joules_per_hash=spread(found.power.board_w / found.hashes_per_s),
    )


def _money(card: Card, owned: Costs | None, rent: RentPrice | None, stage: Stage) -> Money:
    income = earned(card, stage)
    money = Money(rent_usd_per_s=None if rent is None else rent.usd_per_s.value)
    if income is not None:
        money = replace(
            money,
            revenue_usd_per_j=spread(income.usd_per_j),
            margin_usd_per_j=spread(income.margin_usd_per_j),
        )
    if owned is None:
        return money
    money = replace(
        money,
        usd_per_token=spread(owned.usd_per_token),
        token_price_usd=spread(owned.token_price_usd),
        required_rent_usd_per_s=spread(owned.required_rent_usd_per_s),
    )
    if income is None:
        return money
    back = returned(card, income, owned, stage)
    return replace(
        money,
        payback_s=back.payback_s,
        npv_per_usd=spread(back.npv_per_usd),
        npv_per_w=spread(back.npv_per_w),
        strike_usd_per_j=spread(back.strike_usd_per_j),
        p_loss=back.p_loss,
        stands_still=back.stands_still,
    )


def _stood(drawn: Sequence[_Drawn]) -> list[Row]:
    """The rows with what follows from standing beside each other."""
    rows = [each.row for each in drawn]
    ranked = [i for i, each in enumerate(drawn) if each.ranked and each.cost is not None]
    found = [each.cost for each in drawn if each.ranked and each.cost is not None]
    points = [_point(rows[i]) for i in ranked]
    for i, rank, is_front in zip(ranked, ranks(found), front(points), strict=True):
        rows[i] = replace(rows[i], rank=rank, front=is_front)
    serving = [i for i, row in enumerate(rows) if row.joules_per_token is not None]
    joules = [row.joules_per_token.mid for row in rows if row.joules_per_token is not None]
    for i, group in zip(serving, inseparable(joules), strict=True):
        rows[i] = replace(rows[i], group=group)
    return rows


def _point(row: Row) -> tuple[float, ...]:
    assert row.joules_per_token
    assert row.tokens_per_s
    assert row.money.usd_per_token
    return (row.joules_per_token.mid, row.money.usd_per_token.mid, -row.tokens_per_s.mid)


def _order(row: Row) -> tuple[int, float, str]:
    """Ranked first, then by J/token, then what cannot serve."""
    if row.rank is not None:
        return 0, row.rank.mid, row.name
    if row.joules_per_token is not None:
        return 1, row.joules_per_token.mid, row.name
    return 2, 0.0, row.name


def _mark(run: Measured) -> str:
    hashed, decoded = "hash rate" in run.ratios, "decode rate" in run.ratios
    if hashed and decoded:
        return run.mark
    return f"hash {run.mark}, tokens predicted" if hashed else f"tokens {run.mark}, hash predicted"


def _too_slow(asked: Asked) -> str:
    assert asked.tpot_s is not None
    return f"even batch 1 takes longer than {asked.tpot_s * 1e3:g} ms per token (p99)"


def _notes(gpu: GpuProfile) -> tuple[str, ...]:
    if doubtful_lanes(gpu):
        lanes = gpu.int32_lanes.value
        return (f"{lanes:.0f} integer lanes on paper, 64 counted: measure its hash rate",)
    return ()
