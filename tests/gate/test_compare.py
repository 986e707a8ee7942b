"""Which figures are compared, and what keeps two runs apart."""

from dataclasses import replace

import pytest

from bench.gate.compare import compare, default_regress, lines
from bench.gate.side import Gauge, Side

RATE = Gauge("sha256d", "units_per_s", "hash", (100.0, 101.0, 99.0, 100.0),
             {"backend": "cupy", "kernel": "plain"})  # fmt: skip
JOULES = Gauge("sha256d", "joules_per_unit", "hash", (2.0, 2.01, 1.99, 2.0),
               {"backend": "cupy", "kernel": "plain", "boundary": "board"})  # fmt: skip
DEVICE = {"device kind": "gpu", "device": "A", "power limit": 400.0}
BASE = Side(DEVICE, (RATE, JOULES), on_card=True, boundary="board")


def gate(head, base=BASE, **options):
    return compare(base, head, max_regress=0.05, confidence=0.95, **options)


def scaled(gauge, factor):
    return replace(gauge, values=tuple(factor * value for value in gauge.values))


def test_the_same_is_ok():
    found = gate(BASE)
    assert found.verdict == "ok"
    assert [each.verdict for each in found.figures] == ["ok", "ok"]
    assert list(lines(found)) == []


def test_more_joules_or_a_lower_rate_is_a_regression_and_the_reverse_a_gain():
    worse = replace(BASE, gauges=(scaled(RATE, 0.8), scaled(JOULES, 1.2)))
    assert [each.verdict for each in gate(worse).figures] == ["regression"] * 2
    better = replace(BASE, gauges=(scaled(RATE, 1.2), scaled(JOULES, 0.8)))
    assert gate(better).verdict == "ok"
    (rate, joules) = lines(gate(worse))
    assert rate.startswith("regression: sha256d units_per_s -20.00 % (")
    assert joules.startswith("regression: sha256d joules_per_unit +20.00 % (")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"power limit": 300.0}, "power limit 300 now, 400 before"),
        ({"device": "B"}, "device B now, A before"),
        ({"device kind": "cpu"}, "device kind cpu now, gpu before"),
    ],
)
def test_another_device_is_not_comparable_unless_that_is_wanted(change, why):
    head = replace(BASE, device=DEVICE | change)
    found = gate(head)
    assert found.verdict == "not comparable"
    assert {each.why for each in found.figures} == {why}
    wanted = gate(head, any_device=True).verdict
    assert wanted == ("not comparable" if "device kind" in change else "ok")


def test_another_kernel_or_boundary_keeps_that_figure_apart():
    head = replace(BASE, gauges=(RATE, replace(JOULES, asked=JOULES.asked | {"boundary": "wall"})))
    found = gate(head)
    assert [each.verdict for each in found.figures] == ["ok", "not comparable"]
    assert found.verdict == "not comparable"
    other = tuple(replace(each, asked=each.asked | {"kernel": "fast"}) for each in BASE.gauges)
    assert gate(replace(BASE, gauges=other)).figures[0].why == "kernel fast now, plain before"


def test_a_regression_counts_more_than_what_cannot_be_compared_and_that_more_than_doubt():
    noisy = replace(RATE, values=(100.0, 200.0, 50.0, 100.0))
    assert gate(replace(BASE, gauges=(noisy, JOULES))).verdict == "inconclusive"
    assert gate(replace(BASE, gauges=(noisy,))).verdict == "not comparable"
    assert gate(replace(BASE, gauges=(scaled(RATE, 0.5),))).verdict == "regression"


def test_joules_that_were_lost_are_told_and_joules_that_nobody_had_are_no_failure():
    lost = replace(JOULES, values=(), reason="no meter")
    now = gate(replace(BASE, gauges=(RATE, lost)))
    assert now.verdict == "not comparable"
    assert now.figures[1].why == "unknown now: no meter"
    never = replace(BASE, gauges=(RATE, lost))
    found = gate(never, never)
    assert found.verdict == "ok"
    assert found.silent == ("sha256d joules_per_unit: no meter",)
    assert gate(BASE, never).fresh == ("sha256d joules_per_unit",)


def test_an_invalid_run_compares_with_nothing():
    found = gate(replace(BASE, spoilt="the run is invalid: THROTTLED"))
    assert found.verdict == "not comparable"
    assert found.figures[0].why == "now, the run is invalid: THROTTLED"


def test_cards_are_held_to_three_percent_and_processors_to_ten():
    assert default_regress(BASE, BASE) == 0.03
    assert default_regress(replace(BASE, on_card=False), BASE) == 0.10


def test_nothing_in_common_is_not_ok():
    assert gate(BASE, replace(BASE, gauges=())).verdict == "not comparable"
