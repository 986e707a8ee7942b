"""All that a record derives follows from the journal alone."""

import datetime as dt
from dataclasses import asdict, replace

import numpy as np
import pytest

from bench.book import open_book
from bench.derive import calibrated, derive, opened, raw_of, rederived
from bench.energy import Series
from bench.records.journal import ClockPair, Event, Sample, Span
from bench.records.record import Plan, Step
from bench.records.run import Check, DeviceFacts, MeterFacts, WorkloadFacts
from bench.store import load, load_journal

DEVICE = DeviceFacts("gpu", "card", uuid="GPU-1", driver="570.1", vbios="96.0")
METER = MeterFacts("nvml-counter", "nvml:0", scope="gpu", device_uuid="GPU-1")
PLAN = Plan(
    "quick", 7, 4, 2.5, 0.5, "8b", "default", (), "auto", (Step("idle", None, 5.0),)
)  # fmt: skip
HASH = WorkloadFacts("sha256d", "cupy", "hash", None, {"kernel": "plain"}, sources={"a": "00"})
STARTED = "2026-11-22T15:01:02Z"
OPENED = Event(
    0.0,
    "opened",
    {"device": asdict(DEVICE), "meter": asdict(METER), "plan": asdict(PLAN), "started_at": STARTED},
)


def prepared(facts):
    return Event(1.0, "prepared", asdict(facts))


def checks(workload, *found):
    return Event(2.0, "checks", {"workload": workload, "checks": [asdict(each) for each in found]})


def test_the_first_line_says_what_was_known_before_the_run():
    begun = opened([OPENED])
    assert (begun.device, begun.meter, begun.plan, begun.started_at) == (
        DEVICE,
        METER,
        PLAN,
        STARTED,
    )


@pytest.mark.parametrize("facts", [[], [prepared(HASH), OPENED], [Sample(0.0, "power_w", 1.0)]])
def test_a_journal_that_begins_otherwise_is_of_no_known_run(facts):
    with pytest.raises(ValueError, match='no event "opened"'):
        opened(facts)


def test_a_field_that_is_amiss_is_named():
    plan = {**OPENED.data["plan"], "seed": "7"}
    with pytest.raises(ValueError, match=r"plan\.seed is not a whole number"):
        opened([replace(OPENED, data={**OPENED.data, "plan": plan})])


def test_events_add_up_to_what_the_run_was():
    before, after = Check("known answers", True, "8 of 8"), Check("shares", False, "one wrong")
    regrouped = replace(HASH, details={"group_s": 0.138})
    raw = raw_of(
        [
            OPENED,
            prepared(HASH),
            checks("sha256d", before),
            prepared(replace(HASH, name="decode")),
            prepared(regrouped),
            Event(3.0, "failed", {"workload": "decode", "failure": "memory", "text": "full"}),
            checks("sha256d", after),
            *(Span("block", "sha256d", 4.0 + k, 5.0 + k) for k in range(PLAN.blocks)),
            ClockPair(9.0, 9.0, 9.0),
        ]
    )
    assert [each.name for each in raw.workloads] == ["sha256d", "decode"]
    assert raw.workloads[0] == regrouped
    assert raw.checks == {"sha256d": (before, after)}
    assert raw.failures == {"decode": ("memory", "full")}
    assert (raw.device, raw.meter, raw.grade, raw.started_at) == (DEVICE, METER, "quick", STARTED)
    assert not raw.interrupted
    assert raw_of([OPENED, Event(9.0, "interrupted", {"signal": 2})]).interrupted


def test_a_run_of_nothing_is_derived_too():
    derived = derive([OPENED])
    assert derived.workloads == ()
    assert derived.device == DEVICE
    assert derived.meter == METER


def test_a_stored_record_follows_from_its_journal(stored_run):
    record = load(stored_run)
    facts = load_journal(stored_run.with_name(f"{stored_run.stem}.samples.jsonl.gz"))
    assert replace(rederived(record, facts), journal_sha256=record.journal_sha256) == record


@pytest.mark.parametrize("shift_days", [100, -100])
def test_prices_age_until_the_run_finished_by_the_journals_clocks(stored_run, shift_days):
    record = load(stored_run)
    facts = load_journal(stored_run.with_name(f"{stored_run.stem}.samples.jsonl.gz"))
    shift = dt.timedelta(days=shift_days)
    forged = (dt.datetime.fromisoformat(record.finished_at) + shift).isoformat()
    again = rederived(replace(record, finished_at=forged), facts)
    assert again.finished_at.startswith(record.finished_at[:10])
    assert again.verdict.oldest == record.verdict.oldest
    clockless = [fact for fact in facts if not isinstance(fact, ClockPair)]
    aged = rederived(replace(record, finished_at=forged), clockless).verdict.oldest
    assert aged.age_days == record.verdict.oldest.age_days + shift_days


def calibration(update_s=0.1, window_s=0.1, low_w=200.0, high_w=600.0):
    """A sensor of full duty under an on/off load, and a span of work after it."""
    random = np.random.default_rng(3)
    edges = 2.0 + np.cumsum(np.exp(random.uniform(np.log(0.06), np.log(1.5), 40)))
    edges = edges[edges < 20.5]
    facts = [Event(float(t), "load", {"level": 1 - k % 2}) for k, t in enumerate(edges)]
    fine_s = np.arange(0.0, 23.0, 0.001)
    on = np.searchsorted(edges, fine_s, "right") % 2
    power = low_w + (high_w - low_w) * on
    total = np.concatenate(([0.0], np.cumsum(power))) * 0.001
    times = np.arange(0.2, 22.9, 0.0025)
    for t in times:
        k = int(np.floor(t / update_s) * update_s * 1000 + 0.5)
        mean = (total[k] - total[k - round(window_s * 1000)]) / window_s
        facts.append(Sample(float(t), "power_instant_w", float(round(mean, 3))))
    return [*facts, Span("calibrate", "sha256d", 0.0, 21.0)]


def test_a_meter_is_characterised_by_the_runs_own_calibration():
    meter = calibrated(METER, DEVICE, open_book(calibration()), STARTED)
    assert meter.sensor == meter.calibration.sensor
    assert meter.sensor.update_s == pytest.approx(0.1, rel=0.03)
    assert meter.sensor.window_s == pytest.approx(0.1, abs=0.01)
    assert meter.sensor.kind == "full-duty"
    assert meter.calibration.made_at == STARTED
    assert (meter.calibration.device_uuid, meter.calibration.driver) == ("GPU-1", "570.1")
    assert replace(meter, sensor=None, calibration=None) == METER
    assert derive([OPENED, *calibration()]).meter == meter


def test_only_what_lies_within_the_calibration_counts():
    facts = calibration()
    noise = [Sample(30.0 + k / 10, "power_instant_w", float(k)) for k in range(500)]
    noise += [Event(30.0 + k, "load", {"level": k % 2}) for k in range(50)]
    book = open_book([*facts, *noise])
    assert calibrated(METER, DEVICE, book, STARTED) == calibrated(
        METER, DEVICE, open_book(facts), STARTED
    )


def test_another_devices_meter_or_no_calibration_leaves_the_facts_as_they_are():
    facts = calibration()
    stranger = replace(METER, mismatch=True)
    assert calibrated(stranger, DEVICE, open_book(facts), STARTED) == stranger
    no_span = [fact for fact in facts if not isinstance(fact, Span)]
    assert calibrated(METER, DEVICE, open_book(no_span), STARTED) == METER
    no_power = [fact for fact in facts if not isinstance(fact, Sample)]
    assert calibrated(METER, DEVICE, open_book(no_power), STARTED) == METER
    assert isinstance(open_book(facts).load, Series)
