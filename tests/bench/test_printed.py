"""What a command printed and the search in it: what counts, what is given up. About 2 s."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cli import printed as room
from bench.cli.matching import LONGEST_LINE, newest, number
from bench.cli.printed import TAIL_BYTES, Printed

ROWS = r"([\d,]+) rows"


def whole(*streams):
    """Streams that nothing was forgotten of, each of (turn, data) chunks."""
    return [(list(chunks), False) for chunks in streams]


# --- numbers as programs print them -------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12.0), (" 1.5e6 ", 1.5e6), ("1,234,567", 1234567.0), ("1,234.5", 1234.5),
        ("1_000", 1000.0), ("1,23", None), ("0", None), ("-3", None), ("nan", None),
        ("inf", None), ("", None), ("tok", None), (None, None),
        ("1e-15", 1e-15), ("1e18", 1e18), ("1e-16", None), ("1e19", None), ("9" * 400, None),
    ],
)  # fmt: skip
def test_numbers(text, value):
    assert number(text) == value


@given(st.integers(min_value=1, max_value=10**15))
def test_thousands_separators_are_read_as_written(count):
    assert number(f"{count:,}") == count


# --- which match counts -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("streams", "value"),
    [
        ([[(1, b"1 rows\n2 rows\n")]], 2),
        ([[(1, b"1 rows, 2 rows, 0 rows\n")]], 2),
        ([[(1, b"1 rows\r2 rows\rdone")]], 2),
        ([[(1, b"12"), (3, b"34 rows\n")], [(2, b"5 rows\n")]], 1234),
        ([[(1, b"1234 rows\n")], [(2, b"5 rows\n")]], 5),
        ([[(1, b"7 rows\n"), (3, b"and so on\n")], [(2, b"5 rows\n")]], 5),
        ([[(1, b"\n\n\r\n")], []], None),
        ([[(1, "größe 8 rows \udcff".encode("utf-8", "surrogateescape"))]], 8),
    ],
)
def test_the_last_number_of_the_line_that_ended_last(streams, value):
    assert newest(ROWS, whole(*streams)) == value


@given(st.lists(st.binary(max_size=6), max_size=12))
def test_a_stream_is_cut_into_the_same_lines_whatever_its_chunks(chunks):
    text = b"".join(chunks)
    lines = [line for line in re.split(rb"[\r\n]+", text + b"\n9 rows") if line]
    told = whole([*enumerate(chunks), (len(chunks), b"\n9 rows")])
    assert newest(r"(?s)\A(9) rows", told) == 9
    digits = [line for line in lines[:-1] if line.isdigit() and int(line)]
    found = newest(r"(?s)\A(\d+)\Z(?# alone)", whole(list(enumerate(chunks))))
    assert found == (int(digits[-1]) if digits else None)


def test_of_a_long_line_only_the_end_counts():
    long = b"1 rows" + b"." * LONGEST_LINE
    assert newest(ROWS, whole([(1, long)])) is None
    assert newest(ROWS, whole([(1, long + b" 2 rows")])) == 2


def test_a_line_whose_beginning_was_forgotten_is_none():
    assert newest(ROWS, [([(9, b"00 rows\nx\n")], True)]) is None
    assert newest(ROWS, [([(9, b"00 rows\n3 rows\n")], True)]) == 3


# --- what is kept, and for how long it is looked at ---------------------------------------------


def test_the_end_of_each_stream_is_kept_and_no_more():
    printed = Printed(re.compile(ROWS))
    printed.take(1, b"5 rows\n")
    for _ in range(64):
        printed.take(2, b"." * (1 << 16))
    assert printed.units() == 5
    ((_, cut), (chunks, also)) = [tail.packed() for tail in printed._tails.values()]
    assert (cut, also) == (False, True)
    assert TAIL_BYTES <= sum(len(data) for _, data in chunks) < TAIL_BYTES + (1 << 17)


def test_what_was_printed_too_long_ago_is_forgotten():
    printed = Printed(re.compile(ROWS))
    printed.take(1, b"5 rows\n")
    for _ in range(64):
        printed.take(1, b"." * 65535 + b"\n")
    assert printed.units() is None


def test_a_pattern_that_backtracks_for_ever_is_given_up(monkeypatch):
    monkeypatch.setattr(room, "PATIENCE_S", 0.3)
    printed = Printed(re.compile("(a+)+b"))
    printed.take(1, b"a" * 40)
    begun_s = time.monotonic()
    with pytest.raises(TimeoutError, match="longer than"):
        printed.units()
    assert time.monotonic() - begun_s < 5


def test_a_search_that_fails_says_so(monkeypatch):
    monkeypatch.setattr(room.sys, "executable", "/bin/false")
    printed = Printed(re.compile(ROWS))
    printed.take(1, b"5 rows\n")
    with pytest.raises(OSError, match="status 1"):
        printed.units()
