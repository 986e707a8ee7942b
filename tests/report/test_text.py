import pytest

from bench.records.run import Estimate
from bench.report.foreign import clean
from bench.report.screen import BlockLine, PlainScreen, block_text
from bench.report.text import duration, half_width, per_unit, rate


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7.1e9, "7.10 GH/s"),
        (999.6e6, "1.00 GH/s"),
        (31.44e6, "31.4 MH/s"),
        (1.0, "1.00 H/s"),
        (0.0, "0 H/s"),
    ],
)
def test_hash_rates(value, text):
    assert rate(value, "hash") == text


def test_token_rates_have_no_prefix():
    assert rate(12345.6, "token") == "12,300 tok/s"
    assert rate(99.96, "token") == "100 tok/s"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (6.55e-8, "65.5 nJ/hash"),
        (3.78e-6, "3.78 µJ/hash"),
        (4e-19, "0.000400 fJ/hash"),
        (0.0, "0 J/hash"),
    ],
)
def test_joules_per_unit(value, text):
    assert per_unit(value, "hash") == text


def test_durations_round_up():
    assert [duration(s) for s in (0, 0.2, 59.5, 60, 3599)] == [
        "0:00",
        "0:01",
        "1:00",
        "1:00",
        "59:59",
    ]


def test_half_width_is_relative():
    assert half_width(Estimate(10.0, 9.9, 10.1, 5)) == "± 1.0 %"
    assert half_width(Estimate(0.0, -1.0, 1.0, 5)) == "± ?"


@pytest.mark.parametrize(
    "hostile", ["\x1b[31mred", "a\nb", "a\u202eb", "a\x07b", "a\u2028b", "\u200bx"]
)
def test_foreign_text_is_defused(hostile):
    assert clean(hostile).isprintable()


def line(**changes):
    known = {
        "workload": "sha256d", "unit": "hash", "index": 3, "blocks": 10, "units_per_s": 7.1e9,
        "watts": 465.1, "joules": 2698.0, "joules_per_unit": Estimate(6.5e-8, 6.4e-8, 6.6e-8, 3),
        "temperature_c": 61.0, "clock_hz": 1.98e9, "throttled": False,
    }  # fmt: skip
    return BlockLine(**{**known, **changes})


def test_a_block_line_shows_what_is_known_and_nothing_else():
    text = block_text(line())
    for part in (
        "block  3/10",
        "7.10 GH/s",
        "465.1 W",
        "2698 J",
        "65.0 nJ/hash ± 1.5 %",
        "61 °C",
        "1980 MHz",
    ):
        assert part in text
    bare = block_text(
        line(watts=None, joules=None, joules_per_unit=None, temperature_c=None, clock_hz=None)
    )
    assert bare == "sha256d  block  3/10     7.10 GH/s"
    assert "THROTTLED" in block_text(line(throttled=True))


def test_the_plain_screen_prints_each_thing_once():
    from rich.console import Console

    console = Console(record=True, width=40, force_terminal=False)
    screen = PlainScreen(console)
    for left in (10.0, 9.9, 9.8):
        screen.doing("idle power", left)
    screen.doing("sha256d block 1/4", 5.0)
    screen.block(line())
    screen.close()
    assert console.export_text().splitlines() == ["idle power (0:10 left)", block_text(line())]
