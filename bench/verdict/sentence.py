"""A decision in words a person can read at a glance: generated, never typed. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import figures
from bench.records.decision import (
    Aged,
    Decision,
    Flip,
    Label,
    Money,
    Option,
    Reference,
    UseCode,
)
from bench.records.run import Validity
from bench.verdict.standing import Standing

_UNIT = {"USD/Mtok": "/Mtok", "USD/h": "/h", "USD/kWh": "/kWh", "USD": ""}
_HOURS = ("hours served", "hours rented")


def decided(
    code: str,
    label: Label | None,
    standing: Standing,
    priced: Decision,
    best_asic: Reference | None,
    *,
    power_usd_per_kwh: float,
) -> str:
    """The best use, what a paid kWh earns in each, the runner-up and what mining would need."""
    best, runner = standing.order[:2]
    options, flips = priced.options, priced.flips
    chance = f"P {standing.probability:.2f}"
    if label is None:
        head = f"{code} ({chance} that {best} beats {runner} by more than 2 %)."
    else:
        head = f"{code} ({label}, {chance})."
    parts = [head, _earnings(standing, options, best_asic, power_usd_per_kwh)]
    parts += _runner_up(best, runner, flips)
    if "MINE" not in (best, runner):
        parts += _mining(flips)
    parts += _unpriced(options, best, priced.break_evens)
    parts += _per_device_hour(best, options)
    parts += _with_capital(options)
    return " ".join(parts)


def no_market(model: str, flips: Sequence[Flip], best_asic: Reference | None) -> str:
    """What tokens without a price must fetch; no dollars for serving."""
    asic = None if best_asic is None else best_asic.title
    goals = {
        "MINE": "beat hashing here",
        asic: f"beat the best ASIC ({asic})",
        "OFF": "pay for their power",
    }
    known, unknown = [], []
    for flip in flips:
        goal = goals.get(flip.loser)
        if flip.winner != "SERVE" or goal is None:
            continue
        if flip.at is None:
            unknown.append(goal)
        else:
            known.append(f"> {_threshold(flip)} to {goal}")
    text = f"NO MARKET for {model}: its tokens must fetch {', '.join(known) or 'a price'}."
    if unknown:
        text += f" What would {' or '.join(unknown)} needs joules, and this run has none."
    return text


def undecided(validity: Validity) -> str:
    """Why the run cannot be judged, with the first thing to do about it."""
    codes = [code for code in validity.codes if code.fatal] or list(validity.codes)
    text = f"UNDECIDED: the run is {validity.status}."
    if not codes:
        return text
    more = f" (and {len(codes) - 1} more)" if len(codes) > 1 else ""
    return f"{text} {codes[0].name}: {codes[0].text.rstrip('.')}{more}."


def incomparable(options: Sequence[Option]) -> str:
    """Why a valid run has no answer: fewer than two uses have a figure."""
    told = [option for option in options if option.code != "OFF"]
    reasons = "; ".join(f"{option.code}, {option.reason}" for option in told)
    return f"UNDECIDED: there is nothing to compare: {reasons}."


def foreign(codes: Sequence[str]) -> str:
    """That the joules were not measured on this device, and by which code."""
    return f" The joules are not this device's own ({', '.join(codes)})." if codes else ""


def aged(oldest: Aged | None, ages: Sequence[Aged]) -> str:
    """The oldest price, and the most overdue one if that is another."""
    if oldest is None:
        return ""
    text = f" Oldest price: {_age(oldest)}"
    overdue = max(ages, key=lambda age: age.age_days / age.limit_days)
    if overdue.stale and not oldest.stale:
        text += f"; {_age(overdue)}"
    return text + "."


def dollars(amount: float) -> str:
    """USD to three figures, without an exponent: $2.69, $60,500, $0.0000123."""
    return f"-${figures(-amount)}" if amount < 0 else f"${figures(amount)}"


def _earnings(
    standing: Standing,
    options: Sequence[Option],
    best_asic: Reference | None,
    power_usd_per_kwh: float,
) -> str:
    per_kwh = standing.basis == "kwh"
    earned: list[tuple[float, str]] = []
    for option in options:
        money: Money | None = option.usd_per_kwh if per_kwh else option.usd_per_device_h
        if money is not None and option.code != "OFF":
            earned.append((money.p50, f"{dollars(money.p50)} {option.what}"))
    if not per_kwh:
        listed = ", ".join(text for _, text in sorted(earned, reverse=True))
        reason = next(o.reason for o in options if o.code in standing.order)
        return f"One device-hour earns {listed}, before electricity ({reason}): OFF may be better."
    if best_asic is not None:
        middle = best_asic.usd_per_kwh.p50
        earned.append(
            (middle, f"{dollars(middle)} in the best ASIC ({best_asic.title}, nameplate)")
        )
    listed = ", ".join(text for _, text in sorted(earned, reverse=True))
    return f"One paid kWh earns {listed}; power costs {dollars(power_usd_per_kwh)}."


def _runner_up(best: UseCode, runner: UseCode, flips: Sequence[Flip]) -> list[str]:
    """The runner-up's own price, the leader's hours, and what else moves between the two."""
    conditions = [
        _condition(flip)
        for flip in sorted(flips, key=lambda flip: flip.what in _HOURS)
        if (flip.winner, flip.loser) == (runner, best) and flip.at is not None and _said(flip)
    ]
    return [f"Runner-up {runner} wins {' or '.join(conditions)}."] if conditions else []


def _said(flip: Flip) -> bool:
    if flip.what in _HOURS:
        return flip.direction == "below"
    return flip.direction == "above" or flip.what in ("BTC price", "power price")


def _mining(flips: Sequence[Flip]) -> list[str]:
    for flip in flips:
        if flip.what == "BTC price" and flip.winner == "MINE" and flip.at and flip.ratio:
            away = f"{figures(flip.ratio)}× away at this difficulty"
            return [f"Mining wins only if BTC > {dollars(flip.at)}, {away}."]
    return []


def _unpriced(options: Sequence[Option], best: UseCode, flips: Sequence[Flip]) -> list[str]:
    for flip in flips:
        if flip.now is None and flip.loser == best and flip.at is not None:
            what = next(o.what for o in options if o.code == flip.winner).removeprefix("as ")
            return [f"NO MARKET for {what}: they must fetch > {_threshold(flip)} to beat {best}."]
    return []


def _per_device_hour(best: UseCode, options: Sequence[Option]) -> list[str]:
    """Where the card, not the kWh, is scarce, another use may lead: say so."""
    net = {o.code: o.usd_per_device_h_net.p50 for o in options if o.usd_per_device_h_net}
    if best not in net:
        return []
    ahead = max(net, key=lambda code: (net[code], code == best))
    return [] if ahead == best else [f"Per device-hour {ahead} is ahead."]


def _with_capital(options: Sequence[Option]) -> list[str]:
    """Whether any use of the card would pay for buying it."""
    full = [o.usd_per_device_h_full.p50 for o in options if o.usd_per_device_h_full is not None]
    return ["With its capital no use pays."] if full and max(full) < 0 else []


def _condition(flip: Flip) -> str:
    if flip.what in _HOURS:
        assert flip.at is not None
        return f"{flip.direction} {figures(100 * flip.at)} % of {flip.what}"
    subject = {"BTC price": "with BTC ", "power price": "with power "}.get(flip.what, "")
    return f"{subject}{flip.direction} {_threshold(flip)}"


def _threshold(flip: Flip) -> str:
    assert flip.at is not None
    return dollars(flip.at) + _UNIT[flip.unit]


def _age(age: Aged) -> str:
    return f"{age.what}, {age.age_days} days" + (" (STALE)" if age.stale else "")
