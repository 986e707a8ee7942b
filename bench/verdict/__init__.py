"""Runs, market and profiles → Decision: which use of this card's joule pays most, how surely.

Pure: no clock, no file; "today" and the seed are given. Advice only: it never switches anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from bench.economics.card import exchange_usd_per_token
from bench.economics.mining import best_asic, median_asic
from bench.economics.units import J_PER_KWH
from bench.records.decision import (
    Decision,
    Exchange,
    Label,
    Option,
    Reference,
    UseCode,
    VerdictCode,
)
from bench.records.market import AsicProfile, MarketProfile
from bench.records.run import DeviceFacts, Validity
from bench.verdict import sentence
from bench.verdict.ages import used_ages
from bench.verdict.case import Case, Valued
from bench.verdict.draws import World
from bench.verdict.flips import break_evens, flips
from bench.verdict.ladder import ladder, reference
from bench.verdict.options import Use, absent, off, option
from bench.verdict.standing import Standing
from bench.verdict.swings import swings

ROBUST = 0.95
LEANING = 0.80

FOREIGN_JOULES = ("ASSUMED_WATTS", "METER_MISMATCH", "SIMULATED")


def judge(
    case: Case,
    market: MarketProfile,
    *,
    validity: Validity,
    asics: Sequence[AsicProfile],
    today: date,
    user_asic: AsicProfile | None = None,
) -> Decision:
    """The decision on one card that is owned; full cost, capital included, stands beside it.

    ``asics`` are the machines on sale. Uses are ranked by the median of what a paid joule earns,
    or by device-hour before electricity where joules are unknown; that order is at best leaning.
    """
    valued = case.valued(market)
    ages = used_ages(market, case.model, case.gpu, case.workloads, today)
    references = _references(valued.world, asics, user_asic)
    oldest = max(ages, key=lambda age: age.age_days)
    blank = Decision(
        code="UNDECIDED",
        label=None,
        sentence=sentence.undecided(validity),
        options=(),
        references=references,
        flips=(),
        probability=None,
        best=None,
        runner_up=None,
        basis=None,
        oldest=oldest,
        stale=any(age.stale for age in ages),
        seed=case.seed,
        ages=tuple(ages),
    )
    if validity.status in ("invalid", "incomplete"):
        return blank
    foreign = [code.name for code in validity.codes if code.name in FOREIGN_JOULES]
    machines = list(asics) if user_asic is None else [*asics, user_asic]
    decision = _decide(
        _priced(blank, case, valued, market, machines),
        case,
        valued,
        market,
        measured=not foreign,
    )
    said = decision.sentence + sentence.foreign(foreign) + sentence.aged(oldest, ages)
    return replace(decision, sentence=said)


def _priced(
    blank: Decision,
    case: Case,
    valued: Valued,
    market: MarketProfile,
    asics: Sequence[AsicProfile],
) -> Decision:
    """Everything that stands whether or not there is a winner."""
    best = _best(blank.references)
    return replace(
        blank,
        options=_options(valued, case.device),
        break_evens=break_evens(
            valued.uses, market.power_usd_per_j.value, best, market.btc_usd.value
        ),
        ladder=ladder(valued.uses, asics, valued.world),
        exchange=_exchange(valued, best),
        assumptions=tuple(_assumptions(case, valued, market)),
    )


def _assumptions(case: Case, valued: Valued, market: MarketProfile) -> Iterator[str]:
    """What nobody measured or priced and the figures rest on all the same."""
    if case.idle.watts is None and any(use.busy_w is not None for use in valued.uses.values()):
        yield "idle power was not measured: any share of the load's own is taken as possible"
    if "RENT" in valued.uses:
        yield "a tenant is taken to draw what the busiest load measured here draws"
    fixed = {"BTC": market.btc_usd, "difficulty": market.difficulty}
    exact = [name for name, value in fixed.items() if value.low is None]
    if exact:
        yield f"held at one value, without a range: {' and '.join(exact)}"


def _decide(
    priced: Decision, case: Case, valued: Valued, market: MarketProfile, *, measured: bool
) -> Decision:
    standing, best_asic = valued.standing, _best(priced.references)
    if standing is not None:
        found = flips(valued.uses, standing, market.power_usd_per_j.value, market.btc_usd.value)
        priced = replace(
            priced,
            flips=found,
            swings=swings(case, market, standing.order[0]),
            probability=standing.probability,
            best=standing.order[0],
            runner_up=standing.order[1],
            basis=standing.basis,
        )
    if _no_market(valued.uses):
        name = "this model" if case.model is None else case.model.name
        said = sentence.no_market(name, priced.break_evens, best_asic)
        return replace(priced, code="NO MARKET", sentence=said)
    if standing is None:
        return replace(priced, sentence=sentence.incomparable(priced.options))
    label = _label(standing, measured)
    code: VerdictCode = "TOO CLOSE" if label is None else standing.order[0]
    power = market.power_usd_per_j.value * J_PER_KWH
    said = sentence.decided(code, label, standing, priced, best_asic, power_usd_per_kwh=power)
    return replace(priced, code=code, label=label, sentence=said)


def _label(standing: Standing, measured: bool) -> Label | None:
    """How surely the best beats the runner-up; never robust without joules of this device."""
    if standing.probability >= ROBUST and standing.basis == "kwh" and measured:
        return "robust"
    return "leaning" if standing.probability >= LEANING else None


def _no_market(uses: Mapping[UseCode, Use]) -> bool:
    """Tokens were measured, and neither they nor a rent have a price."""
    return "RENT" not in uses and "SERVE" in uses and uses["SERVE"].now is None


def _options(valued: Valued, device: DeviceFacts) -> tuple[Option, ...]:
    """Best first; those without a figure last, in a fixed order."""
    why: dict[UseCode, str] = {
        "MINE": "no hash rate was measured",
        "SERVE": "no token rate was measured",
        "RENT": f"no rent price for {device.name}",
    }
    found: dict[UseCode, Option] = {"OFF": off(valued.uses, valued.world)}
    for code, reason in why.items():
        known = code in valued.uses
        found[code] = option(valued.uses[code], valued.world) if known else absent(code, reason)
    order = () if valued.standing is None else valued.standing.order
    return tuple(found[code] for code in (*order, *(c for c in found if c not in order)))


def _references(
    world: World, asics: Sequence[AsicProfile], user_asic: AsicProfile | None
) -> tuple[Reference, ...]:
    """The same paid kWh in the best and the median machine on sale, and in the user's own."""
    found: list[Reference] = []
    if asics:
        found.append(reference("best", best_asic(asics), world))
        found.append(reference("median", median_asic(asics), world))
    if user_asic is not None:
        found.append(reference("user", user_asic, world))
    return tuple(found)


def _best(references: Sequence[Reference]) -> Reference | None:
    return next((found for found in references if found.role == "best"), None)


def _exchange(valued: Valued, asic: Reference | None) -> Exchange | None:
    """The token price that makes a joule worth the same in the best ASIC, while both are busy."""
    use = valued.uses.get("SERVE")
    if use is None or use.busy_w is None or use.load is None or asic is None:
        return None
    joules = float(use.busy_w[0] / use.load.units_per_s[0])
    price = exchange_usd_per_token(
        joules,
        float(valued.world.usd_per_hash[0]),
        asic.joules_per_hash,
        pool_fee=float(valued.world.pool_fee[0]),
        pue_asic=asic.pue,
    )
    return Exchange(joules, asic.title, price)
