"""Figures that others printed, computed again from the inputs they named. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from bench.economics.capital import (
    conversion_price_usd,
    dscr,
    is_thin,
    missing_power_w,
    premium,
    shell_equity_usd_per_w,
)
from bench.economics.chain import BLOCK_S, HALVING_BLOCKS, epoch_seconds, subsidy_btc
from bench.economics.mining import (
    fleet_joules_per_hash,
    hashes_per_block,
    mining_usd_per_j,
    shutdown_btc_usd,
    usd_per_hash,
)
from bench.economics.span import Span, ends, scaled
from bench.economics.units import S_PER_YEAR
from bench.records.market import Value
from bench.records.site import SiteProfile

ERA = 4  # halvings so far: 3.125 BTC a block
FEE_SHARE = 0.01
TOLERANCE = 0.01
FAR = 0.10
"""Middles further apart than this do not agree because wide ranges meet."""
Agreement = Literal["yes", "within range", "no", "implied"]


@dataclass(frozen=True, slots=True)
class Shell:
    """A leased shell per watt of IT load: income, build cost, equity, debt service cover.

    ``thin`` flags a cover that lenders refuse; ``implied_cap_rates`` would give each of the
    printed equities.
    """

    what: str
    net_income_usd_per_w_year: float
    build: Value
    equity: Span
    dscr: float
    thin: bool
    implied_cap_rates: tuple[float, ...]


def shells(site: SiteProfile, printed: Iterable[Value]) -> tuple[Shell, ...]:
    """Equity by NOI/cap rate − build cost, at the deals' build cost and at that of today."""
    equities = [value.value for value in printed]
    builds = (site.lease.build_usd_per_w, site.lease.build_now_usd_per_w)
    return tuple(
        _shell(site, what, income, build, equities)
        for what, income in _net_incomes(site)
        for build in builds
    )


def reproduced(site: SiteProfile) -> dict[str, Span]:
    """Our figure beside each printed one, by its name in ``site.published``; nothing else enters.

    Where the print's inputs have ranges, so has our figure.
    """
    printed = {key: value.value for key, value in site.published.items()}
    equity = _shell_span(site)
    conversion = conversion_price_usd(printed["note_shares"])
    exact = {
        "network_power": printed["network_energy"],
        "network_hashrate": hashes_per_block(printed["network_difficulty"]) / BLOCK_S,
        "fleet_joules": fleet_joules_per_hash(
            printed["network_energy"], 1.0, printed["network_hashrate"]
        ),
        "gap": missing_power_w(printed["demand"], printed["grid"], printed["building"]),
        "supply_2026": missing_power_w(printed["demand_2026"], printed["gap_2026"]),
        "issue_before": subsidy_btc(ERA * HALVING_BLOCKS) / BLOCK_S,
        "issue_after": subsidy_btc((ERA + 1) * HALVING_BLOCKS) / BLOCK_S,
        "difficulty_change": premium(printed["difficulty_after"], printed["difficulty_before"]),
        "epoch": epoch_seconds(printed["epoch_before"], printed["epoch_after"]),
        "note_conversion": conversion,
        "note_premium": premium(conversion, printed["note_reference"]),
        "note_cap": 2 * printed["note_reference"],
        **_mining_prints(printed),
    }
    return {
        **{key: Span(value, value, value) for key, value in exact.items()},
        "hashprice": _hashprice(site),
        "shell_hyperscaler": equity,
        "shell_neocloud": equity,
    }


def agreement(published: Value, ours: Span) -> Agreement:
    """How our figure stands to the printed one; one that was derived (flag D) tests nothing.

    "yes" within 1 %, or within 10 % where the ranges meet; "within range" where only they do.
    """
    if "D" in published.flag.split("/"):
        return "implied"
    printed = ends(published)
    off = abs(ours.mid - printed.mid) / abs(printed.mid)
    if printed.low <= ours.high and ours.low <= printed.high:
        return "yes" if off <= FAR else "within range"
    return "yes" if off <= TOLERANCE else "no"


def _mining_prints(printed: dict[str, float]) -> dict[str, float]:
    """Shutdown prices without fees, as the list has them, and a break-even power price."""
    power, difficulty = printed["shutdown_power"], printed["difficulty_before"]
    listed = {"shutdown_s21": 17.5e-12, "shutdown_s23_hyd": 9.5e-12, "shutdown_m63s": 18.5e-12}
    subsidy = subsidy_btc(ERA * HALVING_BLOCKS)
    return {
        "break_even_s19_xp": mining_usd_per_j(printed["break_even_hashprice"], 21.5e-12, 0.0, 1.0),
        **{key: shutdown_btc_usd(e, power, difficulty, subsidy) for key, e in listed.items()},
    }


def _hashprice(site: SiteProfile) -> Span:
    """From the printed difficulty and the BTC price of weeks before, fees at 1 %."""
    reward = subsidy_btc(ERA * HALVING_BLOCKS) * (1 + FEE_SHARE)
    per_btc = usd_per_hash(site.published["quoted_difficulty"].value, 1.0, reward)
    return scaled(ends(site.published["quoted_btc"]), per_btc)


def _net_incomes(site: SiteProfile) -> Iterator[tuple[str, Value]]:
    yield "this site", site.lease.net_income_usd_per_j
    for deal in site.deals:
        if deal.net_income_usd_per_j is not None:
            yield deal.title, deal.net_income_usd_per_j


def _shell(
    site: SiteProfile, what: str, income: Value, build: Value, printed: list[float]
) -> Shell:
    net = scaled(ends(income), S_PER_YEAR)
    lease = site.lease
    debt = lease.loan_to_cost.value * build.value
    cover = dscr(net.mid, debt, lease.debt_rate.value, lease.term_s.value / S_PER_YEAR)
    return Shell(
        what=what,
        net_income_usd_per_w_year=net.mid,
        build=build,
        equity=_equity(net, ends(lease.cap_rate), ends(build)),
        dscr=cover,
        thin=is_thin(cover),
        implied_cap_rates=tuple(net.mid / (equity + build.value) for equity in printed),
    )


def _shell_span(site: SiteProfile) -> Span:
    """This site's equity over both build costs: the deals' for the figure, either for the ends."""
    lease = site.lease
    net, cap = scaled(ends(lease.net_income_usd_per_j), S_PER_YEAR), ends(lease.cap_rate)
    then, now = ends(lease.build_usd_per_w), ends(lease.build_now_usd_per_w)
    builds = Span(then.mid, min(then.low, now.low), max(then.high, now.high))
    return _equity(net, cap, builds)


def _equity(net: Span, cap: Span, build: Span) -> Span:
    return Span(
        shell_equity_usd_per_w(net.mid, cap.mid, build.mid),
        shell_equity_usd_per_w(net.low, cap.high, build.high),
        shell_equity_usd_per_w(net.high, cap.low, build.low),
    )
