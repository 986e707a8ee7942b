"""One run as the sections of a report, in the order in which a reader asks. Computes no figure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from bench.book import Book
from bench.economics.units import J_PER_KWH
from bench.records.decision import Decision
from bench.records.record import RunRecord
from bench.records.run import Code
from bench.report import figures as charts
from bench.report import verdict as tables
from bench.report.figures import Figure
from bench.report.sheet import Sheet
from bench.report.summary import label, measured

Pairs = tuple[tuple[str, str], ...]
NO_JOURNAL = "The run's journal is not beside its record, so its power over time is not shown."


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report: sentences, tables, charts, named facts, codes; most hold only some."""

    key: str
    title: str
    words: tuple[str, ...] = ()
    sheets: tuple[Sheet, ...] = ()
    figures: tuple[Figure, ...] = ()
    facts: Pairs = ()
    codes: tuple[Code, ...] = ()


@dataclass(frozen=True, slots=True)
class Dossier:
    """One run as a report shows it."""

    record: RunRecord
    sections: tuple[Section, ...]

    @property
    def verdict(self) -> Decision:
        """The record's own."""
        return self.record.verdict


def dossier(record: RunRecord, book: Book | None, why_no_book: str = NO_JOURNAL) -> Dossier:
    """The sections of a run; ``book`` is its journal sorted, null with the reason."""
    sections = (
        Section("measured", "What was measured", sheets=tuple(measured(record))),
        *_money(record),
        _trust(record),
        _power(record, book, why_no_book),
        Section("blocks", "Energy, block by block", figures=tuple(charts.blocks(record))),
        _limits(record),
        Section("budget", "What the joules may be off by", figures=tuple(charts.budget(record))),
        Section("provenance", "Where it comes from", facts=provenance(record)),
    )
    return Dossier(record, tuple(section for section in sections if _holds(section)))


def _holds(section: Section) -> bool:
    parts = (section.words, section.sheets, section.figures, section.facts, section.codes)
    return any(parts)


def _money(record: RunRecord) -> Iterator[Section]:
    decision, market = record.verdict, record.market
    if not decision.options:
        return
    power_usd_per_j = market.power_usd_per_j.value
    exchange = tables.exchange(decision)
    words = () if exchange is None else (exchange,)
    yield Section(
        "uses", "What a paid kWh earns", words, figures=(_uses(decision, power_usd_per_j),)
    )
    yield Section("ladder", "Strike prices", figures=(_ladder(decision, power_usd_per_j),))
    for key, heading, figure in (
        ("flips", "What would change the answer", _flips(decision)),
        ("swings", "What moves the money", _swings(decision)),
    ):
        if figure is not None:
            yield Section(key, heading, figures=(figure,))
    on = dt.datetime.fromisoformat(record.finished_at).date()
    prices = tables.prices(market, record.profiles.model, record.profiles.gpu, on)
    words = (f"Market: {market.title}. Stale or not is told as of {on}, when the run ended.",)
    yield Section("prices", "Prices and assumptions", words, sheets=(prices,))


def _uses(decision: Decision, power_usd_per_j: float) -> Figure:
    options = {
        "name": "use",
        "mid": "kwh",
        "low": "p10",
        "high": "p90",
        "unit": "USD earned a paid kWh",
        "rule": power_usd_per_j * J_PER_KWH,
        "rule_says": "power costs",
    }
    about = (
        "Median and P10 to P90 of what a kWh paid at the facility earns in each use, beside what"
        " it costs."
    )
    return Figure("ranges", "Uses of a paid kWh", about, {"rows": tables.uses(decision)}, options)


def _ladder(decision: Decision, power_usd_per_j: float) -> Figure:
    sheet = tables.ladder(decision, power_usd_per_j)
    options = {
        "name": "name",
        "mid": "price",
        "low": "p10",
        "high": "p90",
        "unit": "USD/MWh: it pays below",
    }
    paying = sum(rung.runs for rung in decision.ladder)
    about = (
        f"Power price below which each use and each ASIC pays, highest first: {paying} of"
        f" {len(decision.ladder)} pay at today's price."
    )
    return Figure("ranges", "Who pays at which power price", about, {"rows": sheet}, options)


def _flips(decision: Decision) -> Figure | None:
    sheet = tables.flips(decision)
    if sheet is None:
        return None
    about = (
        "How many times up or down each input would have to go for another use to win, nearest"
        " first; break-evens against ASICs last."
    )
    return Figure("factors", "Flips and break-evens", about, {"rows": sheet})


def _swings(decision: Decision) -> Figure | None:
    sheet = tables.swings(decision)
    if sheet is None:
        return None
    about = (
        f"What each input's own range, P10 to P90, does to a device-hour of {decision.best}, all"
        " else in the middle."
    )
    unit = f"USD a device-hour of {decision.best}"
    return Figure("tornado", "Tornado", about, {"rows": sheet}, {"unit": unit})


def _trust(record: RunRecord) -> Section:
    """Status, codes and what was checked before anything was timed."""
    codes = record.validity.codes
    fatal = sum(code.fatal for code in codes)
    words = f"The run is {record.validity.status}: {len(codes)} codes, {fatal} of them fatal."
    checks = tuple(
        (
            f"{workload.name}: {check.name}",
            f"{'held' if check.passed else 'FAILED'}: {check.detail}",
        )
        for workload in record.workloads
        for check in workload.verified.checks
    )
    return Section("trust", "May one trust it", (words,), codes=codes, facts=checks)


def _power(record: RunRecord, book: Book | None, why: str) -> Section:
    title = "Power over time"
    if book is None:
        return Section("power", title, (why,))
    figure = charts.power(record, book)
    if figure is None:
        reason = record.meter.reason or "no power was polled"
        return Section("power", title, (f"There is no power over time: {reason}.",))
    return Section("power", title, figures=(figure,))


def _limits(record: RunRecord) -> Section:
    shares = charts.limits(record)
    roofs = tuple(charts.roofline(record))
    found = (*(() if shares is None else (shares,)), *roofs)
    silent = [w.name for w in record.workloads if not _has_limit(w.name, shares)]
    words = tuple(f"{name}: no limit of it is known, so no share of one." for name in silent)
    return Section("limits", "How near the limits", words, figures=found)


def _has_limit(name: str, shares: Figure | None) -> bool:
    rows = () if shares is None else shares.sheets["rows"].rows
    return any(str(row[0]).startswith(f"{name}: ") for row in rows)


def provenance(record: RunRecord) -> Pairs:
    """Everything that says where the figures come from, as names and values."""
    software, device, meter = record.software, record.device, record.meter
    pairs: list[tuple[str, object]] = [
        ("run", record.run_id),
        ("started", record.started_at),
        ("finished", record.finished_at),
        ("grade", record.plan.grade),
        ("seed", record.plan.seed),
        ("device", device.name),
        ("device UUID", device.uuid),
        ("driver", device.driver),
        ("VBIOS", device.vbios),
        ("power limit", _watts(device.power_limit_w)),
        ("default power limit", _watts(device.power_limit_default_w)),
        ("meter", f"{meter.name} ({meter.source})"),
        ("what the meter lacks", meter.reason),
        ("sensor", None if meter.sensor is None else meter.sensor.kind),
        ("meter library", None if meter.library is None else _joined(meter.library)),
        *((f"workload {w.name}", f"{w.backend} {label(w)}") for w in record.workloads),
        ("joulemark", software.version),
        ("derived by", software.derived_by),
        ("commit", software.git),
        ("Python", software.python),
        ("packages", _joined(software.packages)),
        *((f"sha256 of {name}", sha) for name, sha in sorted(software.kernel_sha256.items())),
        ("host", _joined(record.host)),
        ("market", f"{record.market.title} ({record.plan.market})"),
        ("prices set by hand", " ".join(record.plan.sets)),
        *((f"age of {a.what}", _age(a.as_of, a.age_days, a.stale)) for a in record.verdict.ages),
        ("seed of the verdict", record.verdict.seed),
        ("journal sha256", record.journal_sha256),
    ]
    return tuple((name, str(value)) for name, value in pairs if value not in (None, ""))


def _watts(watts: float | None) -> str | None:
    return None if watts is None else f"{watts:g} W"


def _joined(found: dict[str, object] | dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in found.items())


def _age(as_of: str, days: int, stale: bool) -> str:
    return f"{days} days (of {as_of}){', STALE' if stale else ''}"
