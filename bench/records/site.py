"""The dated facts of a site: its power, what leases of such sites pay, and what others printed.

SI and USD inside; watts are those of the IT load. Survives ``dataclasses.asdict`` and JSON.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.records.market import Value


@dataclass(frozen=True, slots=True)
class Deal:
    """One published contract: ``contract_usd`` over its whole term; incomes per watt and second."""

    title: str
    it_w: Value
    term_s: Value
    contract_usd: Value
    income_usd_per_j: Value
    net_income_usd_per_j: Value | None


@dataclass(frozen=True, slots=True)
class Lease:
    """What a powered shell earns and costs per watt of IT load; the tenant pays for power.

    ``build_usd_per_w`` belongs to the time of the deals, ``build_now_usd_per_w`` to the cap rate's.
    """

    income_usd_per_j: Value
    net_income_usd_per_j: Value
    cap_rate: Value
    build_usd_per_w: Value
    build_now_usd_per_w: Value
    loan_to_cost: Value
    debt_rate: Value
    term_s: Value


@dataclass(frozen=True, slots=True)
class SiteProfile:
    """One site, the deals of its kind, and printed figures by name with the inputs they rest on.

    ``idle_share`` is a waiting server's power over a working one's; ``mine_usd_per_w`` builds a
    mining site without machines; ``conversion_s`` passes from mine to leased data centre;
    ``cards`` names profiles.
    """

    name: str
    title: str
    it_w: Value
    pue: Value
    power_usd_per_j: Value
    idle_share: Value
    mine_usd_per_w: Value
    conversion_s: Value
    cards: tuple[str, ...]
    lease: Lease
    deals: tuple[Deal, ...]
    published: dict[str, Value]
