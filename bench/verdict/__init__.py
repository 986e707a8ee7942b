"""Runs, market and profiles → Decision: which use of this card's joule pays most, how surely.

Pure: no clock, no file; "today" and the seed are given. Advice only: it never switches anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Literal

import numpy as np

from bench.economics.chain import EPOCH_S, first_day
from bench.economics.mining import asic_joules_per_hash, best_asic, median_asic, mining_usd_per_j
from bench.economics.units import J_PER_KWH, S_PER_DAY, Array
from bench.records.decision import (
    Aged,
    Basis,
    Decision,
    Label,
    Option,
    Reference,
    UseCode,
    VerdictCode,
)
from bench.records.market import AsicProfile, GpuProfile, MarketProfile, ModelConfig, Value
from bench.records.run import DeviceFacts, Idle, Validity, WorkloadRecord
from bench.verdict import sentence
from bench.verdict.draws import World, constant, draw_world, money
from bench.verdict.flips import Standing, flips
from bench.verdict.options import Use, absent, off, option, price_uses, rent_price, token_price

WIN_MARGIN = 0.02  # without it two equal uses would be "leaning" 40 % of the time
ROBUST = 0.95
LEANING = 0.80

FOREIGN_JOULES = ("ASSUMED_WATTS", "METER_MISMATCH")

PRICE_LIMIT_DAYS = 7
RENT_LIMIT_DAYS = 30
TOKEN_LIMIT_DAYS = 90
DIFFICULTY_LIMIT_DAYS = int(EPOCH_S / S_PER_DAY)


def judge(
    *,
    device: DeviceFacts,
    workloads: Sequence[WorkloadRecord],
    validity: Validity,
    idle: Idle,
    market: MarketProfile,
    model: ModelConfig | None,
    gpu: GpuProfile | None,
    asics: Sequence[AsicProfile],
    today: date,
    seed: int,
    user_asic: AsicProfile | None = None,
) -> Decision:
    """The decision on one card that is owned (marginal money, no capital).

    ``asics`` are the machines on sale. Uses are ranked by what a paid joule earns, or by
    device-hour before electricity where joules are unknown; that order is at best leaning.
    """
    world = draw_world(market, device, gpu, seed)
    ages = _ages(market, model, gpu, workloads, today)
    references = _references(world, asics, user_asic)
    best = references[0] if asics else None
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
        seed=seed,
    )
    if validity.status in ("invalid", "incomplete"):
        return blank
    foreign = [code.name for code in validity.codes if code.name in FOREIGN_JOULES]
    uses = price_uses(world, market, workloads=workloads, idle=idle, model=model, gpu=gpu)
    standing = _standing(uses, world)
    power = market.power_usd_per_j.value
    priced = replace(
        blank,
        options=_options(uses, world, device),
        flips=flips(uses, standing, power, best, market.btc_usd.value),
    )
    if _no_market(uses):
        name = "this model" if model is None else model.name
        said = sentence.no_market(name, priced.flips, best)
        decision = replace(priced, code="NO MARKET", sentence=said)
    elif standing is None:
        decision = replace(priced, sentence=sentence.incomparable(priced.options))
    else:
        decision = _decide(priced, standing, best, power * J_PER_KWH, measured=not foreign)
    said = decision.sentence + sentence.foreign(foreign) + sentence.aged(oldest, ages)
    return replace(decision, sentence=said)


def _decide(
    priced: Decision,
    standing: Standing,
    best_asic: Reference | None,
    power_usd_per_kwh: float,
    *,
    measured: bool,
) -> Decision:
    label = _label(standing, measured)
    code: VerdictCode = "TOO CLOSE" if label is None else standing.order[0]
    said = sentence.decided(
        code,
        label,
        standing,
        options=priced.options,
        best_asic=best_asic,
        flips=priced.flips,
        power_usd_per_kwh=power_usd_per_kwh,
    )
    return replace(
        priced,
        code=code,
        label=label,
        sentence=said,
        probability=standing.probability,
        best=standing.order[0],
        runner_up=standing.order[1],
        basis=standing.basis,
    )


def _standing(uses: Mapping[UseCode, Use], world: World) -> Standing | None:
    """The order of what has a price; null where there is nothing to compare."""
    priced = {code: use for code, use in uses.items() if use.now is not None}
    per_j = {code: use.usd_per_j for code, use in priced.items() if use.usd_per_j is not None}
    worth: dict[UseCode, Array]
    basis: Basis
    if per_j and len(per_j) == len(priced):
        basis, worth = "kwh", {**per_j, "OFF": world.usd_per_j}
    else:
        basis, worth = "device-hour", {code: use.usd_per_s for code, use in priced.items()}
    if len(worth) < 2:
        return None
    order = tuple(sorted(worth, key=lambda code: -worth[code][0]))
    best, runner = worth[order[0]][1:], worth[order[1]][1:]
    return Standing(basis, order, worth, float(np.mean(best > (1 + WIN_MARGIN) * runner)))


def _label(standing: Standing, measured: bool) -> Label | None:
    """How surely the best beats the runner-up; never robust without joules of this device."""
    if standing.probability >= ROBUST and standing.basis == "kwh" and measured:
        return "robust"
    return "leaning" if standing.probability >= LEANING else None


def _no_market(uses: Mapping[UseCode, Use]) -> bool:
    """Tokens were measured, and neither they nor a rent have a price."""
    return "RENT" not in uses and "SERVE" in uses and uses["SERVE"].now is None


def _options(uses: Mapping[UseCode, Use], world: World, device: DeviceFacts) -> tuple[Option, ...]:
    why: dict[UseCode, str] = {
        "MINE": "no hash rate was measured",
        "SERVE": "no token rate was measured",
        "RENT": f"no rent price for {device.name}",
    }
    return (
        off(),
        *(
            option(uses[code], world) if code in uses else absent(code, reason)
            for code, reason in why.items()
        ),
    )


def _references(
    world: World, asics: Sequence[AsicProfile], user_asic: AsicProfile | None
) -> tuple[Reference, ...]:
    """The same paid kWh in the best and the median machine on sale, and in the user's own."""
    found: list[Reference] = []
    if asics:
        found.append(_reference("best", best_asic(asics), world))
        found.append(_reference("median", median_asic(asics), world))
    if user_asic is not None:
        found.append(_reference("user", user_asic, world))
    return tuple(found)


def _reference(
    role: Literal["best", "median", "user"], asic: AsicProfile, world: World
) -> Reference:
    joules = asic_joules_per_hash(asic)
    per_j = mining_usd_per_j(world.usd_per_hash, constant(joules), world.pool_fee, world.pue_asic)
    return Reference(
        role=role,
        name=asic.name,
        title=asic.title,
        joules_per_hash=joules,
        pue=float(world.pue_asic[0]),
        usd_per_kwh=money(per_j, J_PER_KWH),
        usd_per_kwh_net=money(per_j - world.usd_per_j, J_PER_KWH),
        source=f"nameplate: {asic.watts.source} ({asic.watts.flag})",
    )


def _ages(
    market: MarketProfile,
    model: ModelConfig | None,
    gpu: GpuProfile | None,
    workloads: Sequence[WorkloadRecord],
    today: date,
) -> list[Aged]:
    """The prices used, with the limits beyond which they are stale; power is a contract."""
    dated: list[tuple[str, Value, int]] = [
        ("BTC", market.btc_usd, PRICE_LIMIT_DAYS),
        ("difficulty", market.difficulty, DIFFICULTY_LIMIT_DAYS),
    ]
    if (rent := rent_price(market, gpu)) is not None:
        dated.append(("rent", rent.usd_per_s, RENT_LIMIT_DAYS))
    sold = any(workload.unit == "token" for workload in workloads)
    if sold and (tokens := token_price(market, model)) is not None:
        dated.append(("tokens", tokens.out_usd_per_token, TOKEN_LIMIT_DAYS))
    return [_aged(what, value, limit, today) for what, value, limit in dated]


def _aged(what: str, value: Value, limit_days: int, today: date) -> Aged:
    age_days = (today - first_day(value.as_of)).days
    return Aged(what, value.as_of, age_days, limit_days, age_days > limit_days)
