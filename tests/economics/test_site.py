"""The closed forms of a site against arithmetic by hand. Takes about a second."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.catalogue import load_asic, load_gpu, load_market
from bench.catalogue.site import load_site
from bench.economics.printed import agreement, reproduced, shells
from bench.economics.site import (
    Use,
    facility_w,
    halving,
    income_usd_per_j,
    machines,
    network,
    uses,
)
from bench.economics.span import Span
from bench.economics.units import HASHES_PER_PHS_DAY, J_PER_KWH, S_PER_DAY, S_PER_HOUR, S_PER_YEAR
from bench.records.market import AsicProfile, MarketProfile, RentPrice, Value
from bench.records.site import SiteProfile


@pytest.fixture(scope="module")
def site() -> SiteProfile:
    return load_site("default")


@pytest.fixture(scope="module")
def market() -> MarketProfile:
    return load_market("default")


@pytest.fixture(scope="module")
def s21() -> AsicProfile:
    return load_asic("antminer-s21")


def rent_of(market: MarketProfile, gpu: str) -> RentPrice:
    return next(rent for rent in market.rents if rent.gpu == gpu)


def all_uses(site: SiteProfile, market: MarketProfile, s21: AsicProfile) -> dict[str, Use]:
    found = uses(site, market, [s21], [(load_gpu("h100"), rent_of(market, "h100"))])
    return {use.what.partition(":")[0] + use.what[-4:]: use for use in found}


def test_a_machine_at_the_site_by_hand(
    site: SiteProfile, market: MarketProfile, s21: AsicProfile
) -> None:
    """125 MW over 17.5 J/TH and PUE 1.03 is 6.93 EH/s; 41.667·HP·(1−φ)/(e·PUE) a MWh."""
    (found,) = machines(site, market, [s21])
    assert facility_w(site) == 125e6
    assert found.site_hs == pytest.approx(125e6 / (17.5e-12 * 1.03))
    assert found.earned_usd_per_j * J_PER_KWH == pytest.approx(
        28.68 * (1 - 0.019) / (24 * 17.5 * 1.03), rel=1e-3
    )
    assert not found.runs
    assert found.shutdown_btc_usd > market.btc_usd.value
    cheap = replace(site, power_usd_per_j=replace(site.power_usd_per_j, value=1e-8, low=1e-8))
    (at_36_mills,) = machines(cheap, market, [s21])
    assert at_36_mills.runs
    assert at_36_mills.shutdown_btc_usd < market.btc_usd.value


def test_machines_stand_thriftiest_first(site: SiteProfile, market: MarketProfile) -> None:
    names = ["antminer-s21", "antminer-s23-hyd", "antminer-s21-xp"]
    found = machines(site, market, map(load_asic, names))
    assert [each.asic.name for each in found] == [names[1], names[2], names[0]]


def test_parts_of_a_use_sum(site: SiteProfile, market: MarketProfile, s21: AsicProfile) -> None:
    for use in all_uses(site, market, s21).values():
        assert use.net.mid == pytest.approx(use.revenue.mid - use.power - (use.other or 0.0))
        assert use.net.low <= use.net.mid <= use.net.high
        assert use.charge is not None
        assert use.left == pytest.approx(use.net.mid - use.charge)


def test_serving_by_hand(site: SiteProfile, market: MarketProfile, s21: AsicProfile) -> None:
    """2.69 USD/h, half the hours, 10 % to the platform, (700+181)/0.94·1.25 W at the meter."""
    busy_w = (700 + 181) / 0.94 * 1.25
    use = next(use for use in all_uses(site, market, s21).values() if "H100" in use.what)
    assert use.revenue.mid == pytest.approx(2.69 / S_PER_HOUR * 0.5 * 0.9 / busy_w)
    assert use.power == pytest.approx(0.081 / J_PER_KWH * (0.5 + 0.5 * 0.3))
    assert use.capital_usd_per_w == pytest.approx(30_000 * 1.4 / busy_w + 12.5 / 1.25)


def test_leases_are_per_watt_of_the_meter(
    site: SiteProfile, market: MarketProfile, s21: AsicProfile
) -> None:
    found = {use.what: use for use in all_uses(site, market, s21).values()}
    shell, colocation = found["lease: powered shell"], found["lease: colocation"]
    assert shell.revenue.mid * S_PER_YEAR == pytest.approx(1.875 / 1.25)
    assert shell.net.mid * S_PER_YEAR == pytest.approx(1.714 / 1.25)
    assert shell.other is not None
    assert shell.other * S_PER_YEAR == pytest.approx((1.85 - 1.575 + 1.9 - 1.853) / 2 / 1.25)
    assert colocation.net.mid * S_PER_YEAR == pytest.approx(163.44 * 12 / 1000 / 1.25)
    assert shell.capital_usd_per_w == colocation.capital_usd_per_w == pytest.approx(10)


def test_both_incomes_of_the_lease_are_means_of_the_same_deals(site: SiteProfile) -> None:
    both = [deal for deal in site.deals if deal.net_income_usd_per_j is not None]
    gross = sum(deal.income_usd_per_j.value for deal in both) / len(both)
    net = sum(deal.net_income_usd_per_j.value for deal in both if deal.net_income_usd_per_j)
    assert site.lease.income_usd_per_j.value == pytest.approx(gross)
    assert site.lease.net_income_usd_per_j.value == pytest.approx(net / len(both))


def test_a_card_without_a_price_has_no_capital(site: SiteProfile, market: MarketProfile) -> None:
    bare = replace(load_gpu("h100"), price_usd=None)
    use = uses(site, market, [], [(bare, rent_of(market, "h100"))])[-1]
    assert use.capital_usd_per_w is use.charge is use.left is None
    assert use.net.mid > 0


def test_dearer_power_leaves_leases_alone(
    site: SiteProfile, market: MarketProfile, s21: AsicProfile
) -> None:
    power = replace(site.power_usd_per_j, value=0.09 / J_PER_KWH)
    dear = all_uses(replace(site, power_usd_per_j=power), market, s21)
    for name, use in all_uses(site, market, s21).items():
        if use.what.startswith("lease"):
            assert dear[name] == use
        else:
            assert dear[name].net.mid < use.net.mid


def test_shells_by_hand(site: SiteProfile) -> None:
    """1.575/0.075 − 9 = 12; the cap rate that would give 5.19 is 1.575/(5.19+9)."""
    printed = [site.published["shell_hyperscaler"]]
    found = shells(site, printed)
    assert len(found) == 2 * 3  # two build costs; the site and the two leases that name an NOI
    mariner = next(each for each in found if "Mariner" in each.what)
    assert mariner.equity.mid == pytest.approx(12)
    assert mariner.equity.low == pytest.approx(1.575 / 0.08 - 10)
    assert mariner.equity.high == pytest.approx(1.575 / 0.07 - 8)
    assert mariner.implied_cap_rates == pytest.approx((1.575 / 14.19,))
    assert not mariner.thin
    dear = replace(
        site.lease, build_usd_per_w=replace(site.lease.build_usd_per_w, value=20.0, high=20.0)
    )
    assert shells(replace(site, lease=dear), printed)[0].thin


def test_printed_incomes_are_contract_over_term_and_power(site: SiteProfile) -> None:
    for deal in site.deals:
        assert income_usd_per_j(deal) == pytest.approx(deal.income_usd_per_j.value, rel=0.01)


def test_every_printed_figure_but_one_is_met(site: SiteProfile) -> None:
    """The lower shell equity lies below what dated inputs give: said, not hidden."""
    ours = reproduced(site)
    found = {key: agreement(site.published[key], span) for key, span in ours.items()}
    assert [key for key, said in found.items() if said == "no"] == ["shell_hyperscaler"]
    assert [key for key, said in found.items() if said == "within range"] == ["shell_neocloud"]
    implied = {key for key, said in found.items() if said == "implied"}
    assert implied == {"network_power", "network_hashrate", "fleet_joules", "supply_2026"}
    assert ours["gap"].mid == 44e9
    assert ours["supply_2026"].mid == 25e9
    assert ours["network_power"].mid == pytest.approx(17.12e9, rel=1e-3)
    assert ours["fleet_joules"].mid == pytest.approx(17.0e-12, rel=0.01)
    assert ours["difficulty_change"].mid == pytest.approx(-0.1116, abs=1e-4)
    assert ours["issue_before"].mid * S_PER_DAY == 450
    assert ours["issue_after"].mid * S_PER_DAY == 225


def test_what_agrees() -> None:
    exact = Value(100.0, "1", "2026", "test", "S")
    rounded = replace(exact, low=99.5, high=100.5)
    assert agreement(exact, Span(101.0, 101.0, 101.0)) == "yes"
    assert agreement(exact, Span(101.1, 101.1, 101.1)) == "no"
    assert agreement(rounded, Span(109.9, 100.4, 200.0)) == "yes"
    assert agreement(rounded, Span(150.0, 100.4, 200.0)) == "within range"
    assert agreement(rounded, Span(150.0, 102.0, 200.0)) == "no"
    assert agreement(replace(exact, flag="D/M"), Span(100.0, 100.0, 100.0)) == "implied"


def test_network_of_the_market(site: SiteProfile, market: MarketProfile, s21: AsicProfile) -> None:
    found = network(site, market, s21)
    assert found["issue_now"] * S_PER_DAY == 450
    assert found["issue_then"] * S_PER_DAY == 225
    assert found["anchor_18"] * HASHES_PER_PHS_DAY == pytest.approx(23.76)
    assert found["hashrate"] == pytest.approx(found["work"] / 600)
    (marginal,) = machines(
        site,
        market,
        [replace(s21, watts=replace(s21.watts, value=found["marginal_joules"] * 200e12))],
    )
    assert marginal.earned_usd_per_j == pytest.approx(site.power_usd_per_j.value)
    assert found["anchor"] * HASHES_PER_PHS_DAY == pytest.approx(
        24 * 17.5 * 0.081 * 1.03 / (1 - 0.019)
    )
    at_anchor = replace(market.hashprice_usd_per_hash, value=found["anchor"])
    (just,) = machines(site, replace(market, hashprice_usd_per_hash=at_anchor), [s21])
    assert just.earned_usd_per_j == pytest.approx(site.power_usd_per_j.value)
    assert halving(market).date().isoformat() == "2028-04-11"
