"""A picture of readings and fit in characters."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.plot import lines

WAVE = [(k / 10, 200 + 100 * math.sin(k / 6), 200 + 90 * math.sin(k / 6)) for k in range(100)]


def test_size_axes_and_legend():
    drawn = lines(WAVE, 80, 12)
    assert len(drawn) == 12
    assert max(map(len, drawn)) == 80
    assert drawn[0].startswith("300 W │")
    assert drawn[9].startswith("100 W │")
    assert drawn[10].strip() == "└" + "─" * 73
    assert drawn[11].split() == ["0.0", "s", "○", "read", "⠒", "fitted", "9.9", "s"]


def test_readings_lie_where_they_were_read():
    drawn = lines([(0.0, 10.0, 10.0), (1.0, 20.0, 10.0), (2.0, 10.0, 10.0)], 47, 7)
    cells = [row.partition("│")[2] for row in drawn[:5]]
    width = 47 - len("20 W │")
    assert cells[0] == " " * round((width - 1) / 2) + "○"
    assert (cells[4][0], cells[4][-1], len(cells[4])) == ("○", "○", width)
    assert set(cells[4][1:-1]) == {"\u28c0"}, "the fit is a line of the lowest two dots"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "no-such-encoding"])
def test_plain_characters_where_the_encoding_has_no_braille(encoding):
    drawn = lines(WAVE, 80, 12, encoding)
    text = "\n".join(drawn)
    assert text.isascii()
    assert text.count("o") > 50
    assert "o read  . fitted" in drawn[-1]
    assert drawn[0].startswith("300 W |")


@pytest.mark.parametrize(
    ("points", "width", "height"), [([], 80, 12), (WAVE, 20, 12), (WAVE, 80, 3)]
)
def test_no_picture_without_points_or_room(points, width, height):
    assert lines(points, width, height) == []


def test_a_flat_line_is_drawn_amid_its_axis():
    drawn = lines([(0.0, 50.0, 50.0), (1.0, 50.0, 50.0)], 40, 7)
    assert next(row for row in drawn if "○" in row).startswith("50 W")


numbers = st.floats(-1e4, 1e6)


@given(
    st.lists(st.tuples(st.floats(0, 1e5), numbers, numbers), min_size=1, max_size=60),
    st.integers(1, 120),
    st.integers(1, 30),
)
def test_it_never_outgrows_its_frame(points, width, height):
    drawn = lines(sorted(points), width, height)
    assert len(drawn) in (0, height)
    assert all(len(row) <= width for row in drawn)
