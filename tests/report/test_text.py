import io

import pytest

from bench.records.run import Estimate
from bench.report.foreign import clean
from bench.report.screen import (
    BlockLine,
    LiveScreen,
    PlainScreen,
    block_text,
    counting,
    open_screen,
)
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


WIDEST = {
    "workload": "prefill", "unit": "token", "index": 10, "units_per_s": 6616.0, "watts": 577.1,
    "joules": 33925.0, "joules_per_unit": Estimate(0.0872, 0.087117, 0.087283, 10),
}  # fmt: skip


def test_a_block_line_is_whole_on_80_columns():
    text = block_text(line(**WIDEST), 80)
    assert text == (
        "prefill 10/10 6,620 tok/s 577.1 W 33925 J 87.2 mJ/token ± 0.095 % 61 °C 1980 MHz"
    )
    assert len(text) == 80
    assert block_text(line(**WIDEST), 120) == block_text(line(**WIDEST))


def test_the_card_is_left_out_before_the_figures_and_throttling_last():
    throttled = line(**WIDEST, throttled=True)
    assert block_text(throttled, 80).endswith("± 0.095 % THROTTLED")
    assert block_text(throttled, 82).endswith("± 0.095 % THROTTLED 61 °C")
    assert block_text(throttled, 20).endswith("mJ/token ± 0.095 %")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({}, LiveScreen),
        ({"CI": "true"}, PlainScreen),
        ({"CI": "false"}, LiveScreen),
        ({"GITHUB_ACTIONS": "true"}, PlainScreen),
        ({"TERM": "dumb"}, PlainScreen),
        ({"NO_COLOR": "1"}, LiveScreen),
    ],
)
def test_lines_are_rewritten_only_where_somebody_looks(monkeypatch, environment, kind):
    from rich.console import Console

    for name in ("CI", "GITHUB_ACTIONS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm"} | environment).items():
        monkeypatch.setenv(name, value)
    screen = open_screen(Console(file=Terminal()))
    screen.close()
    assert type(screen) is kind


def test_a_log_stays_a_log_when_colours_are_forced(monkeypatch):
    from rich.console import Console

    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(open_screen(Console(file=io.StringIO())), PlainScreen)


def test_the_time_left_outlives_a_line_that_is_too_long():
    from rich.console import Console

    out = Terminal()
    screen = LiveScreen(Console(file=out, width=30, color_system=None))
    screen.doing("sha256d runs with less and more sampling", 61.0)
    screen.close()
    shown = [part for part in out.getvalue().split("\r") if "left" in part]
    assert shown
    assert all("1:01 left  sha256d runs wi…" in part for part in shown)


def counted(out):
    from rich.console import Console

    with counting(Console(file=out, width=60), "Reading runs", 3) as done:
        done()
        done()
    return out.getvalue()


def test_a_count_is_shown_to_who_looks_and_the_terminal_is_left_clean(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for name in ("CI", "GITHUB_ACTIONS", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    said = counted(Terminal())
    assert "Reading runs" in said
    assert "2/3" in said
    assert said.rfind("\x1b[?25h") > said.rfind("\x1b[?25l") >= 0
    assert counted(io.StringIO()) == ""


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
