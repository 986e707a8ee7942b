"""What a card earns and costs its owner over its life, as drawn. Money at the facility. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.economics.capital import capex_usd, payback_s, value_at_start_usd
from bench.economics.card import mean_power_w, tokens_usd_per_s
from bench.economics.units import Array
from bench.predict.card import Card, Sides
from bench.predict.draws import Stage
from bench.records.market import Value


@dataclass(frozen=True, slots=True)
class Earned:
    """Selling tokens, USD per second and per paid joule over all hours, net of nothing."""

    usd_per_s: Array
    usd_per_j: Array
    margin_usd_per_j: Array


@dataclass(frozen=True, slots=True)
class Costs:
    """Owning the card: USD per generated token, the rent and token price that pay for it.

    ``token_price_usd`` is today's price of every token, in and out alike, that pays for card,
    power and space while prices fall; ``usd_per_token`` the level cost of a generated one.
    """

    capital_usd: Array
    charge_usd_per_s: Array
    usd_per_token: Array
    token_price_usd: Array
    required_rent_usd_per_s: Array


@dataclass(frozen=True, slots=True)
class Return:
    """What the owner has of it; ``payback_s`` is null where capital never comes back.

    ``stands_still``: at the middle, running loses money, so that the card would not run.
    """

    npv_per_usd: Array
    npv_per_w: Array
    strike_usd_per_j: Array
    payback_s: float | None
    p_loss: float
    stands_still: bool


def earned(card: Card, stage: Stage) -> Earned | None:
    """What tokens fetch; null without a price."""
    if stage.in_usd_per_token is None or stage.out_usd_per_token is None:
        return None
    usd_per_s = tokens_usd_per_s(
        card.serving.tokens_per_s,
        card.asked.prompt / card.asked.output,
        stage.in_usd_per_token,
        stage.out_usd_per_token,
        stage.serve_utilisation,
    )
    per_j = usd_per_s / _mean_w(card.serving.power, card.idle, stage.serve_utilisation)
    return Earned(usd_per_s, per_j, per_j - stage.usd_per_j)


def costs(card: Card, price: Value, stage: Stage) -> Costs:
    """Capital, electricity and colocation of a card that sells at ``price``."""
    own, serving = stage.owning, card.serving
    capital = value_at_start_usd(
        capex_usd(
            stage.dice.price(price, card.subject.name),
            node_factor=own.node,
            memory_share=own.memory_share,
            memory_multiplier=own.memory,
            copper_share=own.copper_share,
            copper_multiplier=own.copper,
        ),
        own.rate,
        own.lead_s,
    )
    charge = capital * own.charge_per_usd
    spent = charge + _running_usd_per_s(card, stage)
    per_token = spent / (stage.serve_utilisation * serving.tokens_per_s)
    let_w = _mean_w(card.busiest, card.idle, stage.rent_utilisation)
    running = let_w * stage.usd_per_j + own.colocation_usd_per_j * card.busiest.wall_w
    rent = (charge + running) * own.level / (stage.rent_utilisation * (1 - stage.rent_cut))
    every = per_token * own.level / (1 + card.asked.prompt / card.asked.output)
    return Costs(capital, charge, per_token, every, rent)


def returned(card: Card, earned: Earned, costs: Costs, stage: Stage) -> Return:
    """Net present value and what follows from it; token prices fall as rents do.

    The same sums as ``economics.capital`` gives a card at a time, its annuities drawn once. An
    owner who would lose on power and space over the life neither runs the card nor pays for them,
    and loses its capital, less what is left of it.
    """
    own, power = stage.owning, card.serving.power
    running = _running_usd_per_s(card, stage)
    level = earned.usd_per_s / own.level
    gain = level - running
    npv = (np.maximum(gain, 0.0) - costs.charge_usd_per_s) * own.worth_s
    mean = _mean_w(power, card.idle, stage.serve_utilisation)
    space = own.colocation_usd_per_j * power.wall_w
    return Return(
        npv_per_usd=npv / costs.capital_usd,
        npv_per_w=npv / power.facility_w,
        strike_usd_per_j=(level - costs.charge_usd_per_s - space) / mean,
        payback_s=payback_s(
            float(costs.capital_usd[0]),
            float(earned.usd_per_s[0]),
            float(running[0]),
            own.decay,
        ),
        p_loss=float(np.mean(npv[1:] < 0)),
        stands_still=bool(gain[0] < 0),
    )


def _mean_w(busy: Sides, idle: Sides, utilisation: Array) -> Array:
    """Facility watts over all hours."""
    return mean_power_w(busy.facility_w, idle.facility_w, utilisation)


def _running_usd_per_s(card: Card, stage: Stage) -> Array:
    """Electricity over all hours, and space for the card's power at the wall."""
    mean = _mean_w(card.serving.power, card.idle, stage.serve_utilisation)
    space = stage.owning.colocation_usd_per_j * card.serving.power.wall_w
    total: Array = mean * stage.usd_per_j + space
    return total
