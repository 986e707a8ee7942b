"""Published figures that the formulas must reproduce, at the tolerances of ``golden.json``.

Each case names its public source; "same" is that of the case before it. Takes under a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.economics.capital import conversion_price_usd, missing_power_w, premium
from bench.economics.chain import (
    ANCHOR_HEIGHT,
    HALVING_BLOCKS,
    SATOSHI_PER_BTC,
    difficulty_growth_for_hashprice,
    epoch_seconds,
    subsidy_btc,
    subsidy_satoshi,
)
from bench.economics.mining import (
    blocks_expected,
    fleet_joules_per_hash,
    hashprice_usd_per_phs_day,
    implied_btc_usd,
    mining_usd_per_j,
    shutdown_btc_usd,
    usd_per_hash,
    usd_per_hash_at,
)
from bench.economics.units import J_PER_KWH, S_PER_DAY, S_PER_YEAR

CASES = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))["tests"]
SUBSIDY = subsidy_btc(ANCHOR_HEIGHT)
NEXT_ERA = (ANCHOR_HEIGHT // HALVING_BLOCKS + 1) * HALVING_BLOCKS
Given = dict[str, Any]
Found = dict[str, float]


def bitcoin(given: Given) -> Found:
    """At the familiar D·2^32, as the source computes it."""
    blocks = blocks_expected(
        given["hashrate_hs"], given["days"] * S_PER_DAY, given["difficulty"], exact=False
    )
    return {"btc": blocks * given["reward_btc"]}


def hashprice(given: Given) -> Found:
    found = usd_per_hash(given["difficulty"], given["btc_usd"], given["reward_btc"])
    return {"usd_per_ph_day": hashprice_usd_per_phs_day(found)}


def identity(given: Given) -> Found:
    reward = SUBSIDY * (1 + given["fee_share"])
    per_hash = usd_per_hash_at(given["hashprice"])
    return {"btc_usd": implied_btc_usd(per_hash, given["difficulty"], reward)}


def shutdown(given: Given) -> Found:
    found = shutdown_btc_usd(
        given["j_per_th"] / 1e12, given["usd_kwh"] / J_PER_KWH, given["difficulty"], SUBSIDY
    )
    return {"shutdown_btc_usd": found}


def break_even(given: Given) -> Found:
    per_hash = usd_per_hash_at(given["hashprice"])
    earned = mining_usd_per_j(per_hash, given["j_per_th"] / 1e12, 0.0, 1.0)
    return {"breakeven_usd_kwh": earned * J_PER_KWH}


def change(given: Given) -> Found:
    return {"change": premium(given["new"], given["old"])}


def epoch(given: Given) -> Found:
    return {"epoch_days": epoch_seconds(given["old"], given["new"]) / S_PER_DAY}


def daily(given: Given) -> Found:
    before, after = (
        given["blocks_per_day"] * subsidy_satoshi(height) / SATOSHI_PER_BTC
        for height in (NEXT_ERA - 1, NEXT_ERA)
    )
    return {"before": before, "after": after}


def gap(given: Given) -> Found:
    return {"gap_gw": missing_power_w(given["demand"], given["grid"], given["building"])}


def supply(given: Given) -> Found:
    return {"implied_supply_gw": missing_power_w(given["demand"], given["gap"])}


def growth(given: Given) -> Found:
    found = difficulty_growth_for_hashprice(given["price_growth"])
    return {"difficulty_growth_that_keeps_hashprice_over_a_halving_cycle": found}


def note(given: Given) -> Found:
    """The capped call doubles the reference price of 10.49 USD."""
    price = conversion_price_usd(given["shares_per_1000"])
    return {
        "conversion_price": price,
        "premium_on_10.49": premium(price, 10.49),
        "cap_price": 10.49 * 2,
    }


def fleet(given: Given) -> Found:
    energy_j = given["twh"] * 1e9 * J_PER_KWH
    per_hash = fleet_joules_per_hash(energy_j, S_PER_YEAR, 1006e18)
    return {"gw": energy_j / S_PER_YEAR / 1e9, "implied_fleet_j_per_th_at_1006EH": per_hash * 1e12}


FORMULAS: dict[str, Callable[[Given], Found]] = {
    "se_18629_20th": bitcoin,
    "se_18629_700mh": bitcoin,
    "elektronics_hashprice": hashprice,
    "june_2026_identity": identity,
    "antpool_s21": shutdown,
    "antpool_s23hyd": shutdown,
    "antpool_m63s": shutdown,
    "coinshares_s19xp": break_even,
    "retarget_feb26": change,
    "retarget_jun26_days": epoch,
    "halving_daily": daily,
    "ms_gap_a": gap,
    "ms_gap_b": supply,
    "thiel_50pct": growth,
    "iren_convert": note,
    "fleet_twh": fleet,
}


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_published_figure_is_reproduced(case: dict[str, Any]) -> None:
    found = FORMULAS[case["id"]](case["in"])
    assert found.keys() == case["out"].keys()
    absolute = case.get("tol_abs", 0.0)
    relative = 0.0 if absolute else case.get("tol", 0.0)
    for name, published in case["out"].items():
        assert found[name] == pytest.approx(published, rel=relative, abs=absolute), name


def test_no_case_and_no_formula_is_lost() -> None:
    assert [case["id"] for case in CASES] == list(FORMULAS)


def test_the_price_of_june_2026_is_near_the_one_quoted_then() -> None:
    """solana.garden, 2026-06-07: about 60 000 USD."""
    (case,) = (case for case in CASES if case["id"] == "june_2026_identity")
    assert identity(case["in"])["btc_usd"] == pytest.approx(60_000, rel=0.02)
