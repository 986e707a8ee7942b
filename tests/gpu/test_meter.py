"""The real card through the real NVML."""

import itertools
import select

import pytest

from bench.book import POWER_FIELDS
from bench.meters import nvml, open_meter
from bench.ports import MeterError
from bench.records.journal import Event, Sample

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def card():
    try:
        return nvml.first_visible()
    except MeterError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def sampled(card):
    """Facts of the meter and what it said in 3 seconds."""
    meter = open_meter("auto", card, lambda name: pytest.fail(f"asked for a simulated {name}"))
    facts = []
    try:
        meter.start()
        meter.survey()
        for _ in range(30):
            select.select([], [], [], 0.1)
            facts += meter.poll()
    finally:
        meter.stop()
    facts += meter.poll()
    return meter.facts(), facts


def of(facts, field):
    return [fact for fact in facts if isinstance(fact, Sample) and fact.field == field]


def test_the_card_tells_what_a_record_needs(card):
    assert card.uuid.startswith("GPU-")
    assert card.memory_bytes > 2**30
    assert 0 < card.power_limit_w <= card.power_limit_max_w
    assert card.sm_clock_max_hz > 5e8
    assert card.driver
    assert len(card.nvml_library["sha256"]) == 64
    assert card.nvml_library["fake"] is False
    assert nvml.resolve(card.index).uuid == card.uuid


def test_the_counter_rises_by_the_power_it_reads(card, sampled):
    facts, said = sampled
    assert (facts.device_uuid, facts.mismatch, facts.scope) == (card.uuid, False, "gpu")
    if facts.source != "nvml-counter":
        pytest.skip(f"this card's best source is {facts.source}: {facts.reason}")
    ticks = of(said, "energy_j")
    rises = [b.value - a.value for a, b in itertools.pairwise(ticks)]
    assert rises
    assert min(rises) > 0
    mean_w = sum(rises) / (ticks[-1].t_s - ticks[0].t_s)
    assert 0 < mean_w <= 1.3 * card.power_limit_max_w


def test_power_comes_at_every_tick_and_none_is_skipped(card, sampled):
    facts, said = sampled
    field = next(
        name for name in facts.capabilities if name.startswith("power_") and "limit" not in name
    )
    power = of(said, field)
    assert len(power) > 75  # of 150 in 3 s
    assert all(0 < sample.value <= 1.3 * card.power_limit_max_w for sample in power)
    tally = next(f.data for f in said if isinstance(f, Event) and f.name == "meter_tally")
    assert tally["skipped"] == 0


def test_a_closer_look_is_taken_when_asked(card):
    meter = open_meter("auto", card, lambda name: pytest.fail(f"asked for a simulated {name}"))
    try:
        meter.start()
        meter.pace(0.002)
        facts = []
        for _ in range(20):
            select.select([], [], [], 0.05)
            facts += meter.poll()
    finally:
        meter.stop()
    field = next(name for name in POWER_FIELDS if name in meter.facts().capabilities)
    times = [sample.t_s for sample in of(facts, field)]
    gaps = sorted(b - a for a, b in itertools.pairwise(times))
    print(f"asked for 2 ms, got {1e3 * gaps[len(gaps) // 2]:.2f} ms in the median")
    assert gaps[len(gaps) // 2] < 0.01


def test_who_is_on_the_card_is_told(sampled):
    _, said = sampled
    found = [fact.data for fact in said if isinstance(fact, Event) and fact.name == "processes"]
    assert found
    assert all(isinstance(data["pids"], list) for data in found)


def test_cuda_gives_the_same_uuid(card):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    count = torch.cuda.device_count()
    known = {f"GPU-{torch.cuda.get_device_properties(i).uuid}" for i in range(count)}
    assert card.uuid in known
