"""One side against the other: every figure that both have, and why others cannot be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.gate.judge import Judged, Terms, Verdict, judge
from bench.gate.side import KIND, Gauge, Side
from bench.records.run import Estimate

WORST_FIRST: tuple[Verdict, ...] = ("regression", "not comparable", "inconclusive", "ok")
CPU_REGRESS, CARD_REGRESS = 0.10, 0.03
"""The loss that is let pass unless one is named: shared processors vary more than cards."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure: its verdict, blocks of either side, and why where it is no plain answer."""

    workload: str
    metric: str
    unit: str
    verdict: Verdict
    before: float | None
    now: float | None
    ratio: Estimate | None
    finds: float | None
    blocks: tuple[int, int]
    spread: tuple[float | None, float | None]
    why: str | None


@dataclass(frozen=True, slots=True)
class Findings:
    """All figures of the baseline; ``fresh`` are those that it lacks, ``silent`` those that
    neither side has a value of, with the reason."""

    terms: Terms
    figures: tuple[Finding, ...]
    fresh: tuple[str, ...]
    silent: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of all; nothing to compare is not comparable."""
        found = {each.verdict for each in self.figures} or {"not comparable"}
        return next(each for each in WORST_FIRST if each in found)


def default_regress(base: Side, head: Side) -> float:
    """The loss that is let pass where nobody says."""
    return CARD_REGRESS if base.on_card and head.on_card else CPU_REGRESS


def compare(
    base: Side, head: Side, *, max_regress: float, confidence: float, any_device: bool = False,
    paired: bool = False,
) -> Findings:  # fmt: skip
    """Each figure of the baseline against the same of the later side.

    ``paired``: their values were measured beside each other, as ``bench.gate.pairs`` lays them.
    """
    later = {each.name: each for each in head.gauges}
    earlier = {each.name for each in base.gauges if each.values}
    pairs = [(each, later.get(each.name)) for each in base.gauges]
    told = [pair for pair in pairs if not _silent(pair)]
    apart = _unlike_devices(base, head, any_device)
    whys = [apart or _unlike(before, now) for before, now in told]
    judged = sum(why is None for why in whys)
    figures = max(1, judged)
    terms = Terms(max_regress=max_regress, confidence=confidence, figures=figures, paired=paired)
    return Findings(
        terms,
        tuple(_finding(*pair, why, terms) for pair, why in zip(told, whys, strict=True)),
        tuple(each.name for each in head.gauges if each.values and each.name not in earlier),
        tuple(f"{each.name}: {each.reason}" for each, _ in filter(_silent, pairs)),
    )


def _silent(pair: tuple[Gauge, Gauge | None]) -> bool:
    """A figure that the baseline does not know is no promise that could be broken."""
    return not pair[0].values


def _unlike_devices(base: Side, head: Side, any_device: bool) -> str | None:
    for when, side in (("before", base), ("now", head)):
        if side.spoilt:
            return f"{when}, {side.spoilt}"
    if any_device:
        return differing(*({KIND: side.device[KIND]} for side in (base, head)))
    return differing(base.device, head.device)


def _unlike(before: Gauge, now: Gauge | None) -> str | None:
    if now is None:
        return "it is in the baseline and was not measured now"
    return differing(before.asked, now.asked) if now.values else f"unknown now: {now.reason}"


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """The first thing that differs, in words."""
    for key in (*before, *(key for key in now if key not in before)):
        if before.get(key) != now.get(key):
            return f"{key} {_said(now.get(key))} now, {_said(before.get(key))} before"
    return None


def _said(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _finding(before: Gauge, now: Gauge | None, why: str | None, terms: Terms) -> Finding:
    values = now.values if now else ()
    found = Judged("not comparable", None, None, (None, None), why)
    if why is None:
        found = judge(before.values, values, terms, more_is_worse=before.more_is_worse)
    return Finding(
        before.workload,
        before.metric,
        before.unit,
        found.verdict,
        _mean(before.values),
        _mean(values),
        found.ratio,
        found.finds,
        (len(before.values), len(values)),
        found.spread,
        found.why,
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def lines(found: Findings) -> Iterator[str]:
    """What was found, a line for each thing that is not plainly fine."""
    for verdict in WORST_FIRST[:-1]:
        for each in found.figures:
            if each.verdict == verdict:
                yield f"{verdict}: {said(each, found.terms)}"
    if found.fresh:
        yield f"not in the baseline: {', '.join(found.fresh)}"


def said(each: Finding, terms: Terms) -> str:
    """One figure on one line."""
    name = f"{each.workload} {each.metric}"
    if each.ratio is None or each.finds is None:
        return f"{name}: {each.why}"
    change = 100 * (each.ratio.mid - 1)
    low, high = (100 * (bound - 1) for bound in (each.ratio.lo, each.ratio.hi))
    text = f"{name} {change:+.2f} % ({low:+.2f} to {high:+.2f}), {100 * terms.max_regress:g} % may"
    if each.verdict == "inconclusive":
        text += f"; {each.why}: this noise finds a loss of {100 * each.finds:.1f} % or more"
    return text
