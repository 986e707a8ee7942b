"""Recordings of power as people and loggers write them, and as nobody should."""

import datetime as dt
import gzip
import hashlib

import pytest

from bench.meters.trace import BadTrace, read_table, read_trace


@pytest.fixture
def written(tmp_path):
    def write(text, name="meter.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        "t_s,watts\n0,100\n0.5,200\n1,150\n",
        "0,100\n0.5,200\n1,150\n",
        "Time (s),Power (W)\n0,100\n0.5,200\n1,150\n",
        "power [mW],time [ms]\n100000,0\n200000,500\n150000,1000\n",
        "time_s;volts;power_w\n0;12,1;100\n0,5;12,0;200\n1,0;12,1;150,0\n",
        '"t_s"\t"watts"\n0\t100\n0.5\t200\n1\t150\n',
        "\ufefft_s,watts\r\n0,100\r\n\r\n0.5,200\r\n1,150",
        "elapsed_us,p_kw\n0,0.1\n500000,0.2\n1000000,0.15\n",
        "moment,reading\n0,100\n0.5,200\n1,150\n",
    ],
)
def test_headers_units_and_separators(written, text):
    trace = read_trace(written(text))
    assert trace.series.t_s.tolist() == pytest.approx([0, 0.5, 1])
    assert trace.series.value.tolist() == pytest.approx([100, 200, 150])
    assert not trace.wall


def test_a_packed_trace_is_the_same_and_its_digest_is_the_files(written):
    text = b"t_s,watts\n0,100\n1,150\n"
    packed = written(gzip.compress(text), "meter.csv.gz")
    assert read_trace(packed).series.value.tolist() == [100, 150]
    assert read_trace(packed).sha256 == hashlib.sha256(packed.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1795305600", "1795305601.5"),
        ("1795305600000000000", "1795305601500000000"),
        ("2026-11-22T00:00:00Z", "2026-11-22T00:00:01.5Z"),
        ("2026-11-22 01:00:00+01:00", "2026-11-22 01:00:01.500+01:00"),
    ],
)
def test_wall_clocks(written, first, second):
    unit = "time_ns" if len(first) == 19 and first.isdecimal() else "timestamp"
    trace = read_trace(written(f"{unit},watts\n{first},100\n{second},150\n"))
    assert trace.wall
    began = dt.datetime(2026, 11, 22, tzinfo=dt.UTC).timestamp()
    assert trace.series.t_s.tolist() == pytest.approx([began, began + 1.5], abs=1e-5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1 has fewer than two columns; give seconds and watts"),
        ("watts\n1\n2\n", "line 1 has fewer than two columns"),
        ("t_s,watts\n", "fewer than two rows of numbers"),
        ("t_s,watts\n0,100\n", "fewer than two rows of numbers"),
        ("t_s,watts\n0,100\n1,nan\n", "line 3 holds nan; delete rows without a reading"),
        ("t_s,watts\n0,100\n1,-inf\n", "line 3 holds -inf"),
        ("t_s,watts\n0,100\nnan,100\n", "line 3 holds nan"),
        ("t_s,watts\n0,100\n1,12W\n", "line 3 has no number in '12W'; give plain numbers"),
        ("t_s,watts\n0,100\n1,1_000\n", "line 3 has no number in '1_000'"),
        ("t_s,watts\n0,100\nsoon,1\n", "line 3 has no time in 'soon'; give seconds or ISO 8601"),
        ("t_s,watts\n0,100\n1,1e308\n", "line 3 holds 1e308, more than 1e+09 W; correct or"),
        ("t_s,power_kw\n0,1\n1,-2e6\n", "line 3 holds -2e6, more than 1e+09 W"),
        ("t_s,watts\n1,100\n1,100\n", "line 3 does not come later in time; give times that rise"),
        ("t_s,watts\n2,100\n1,100\n", "line 3 does not come later in time"),
        ("t_s,watts\n2,100\n1e30,100\n", "line 3 does not come later in time"),
        ("t_s,watts\n2,100\n3\n", "line 3 has only 1 columns; complete or delete it"),
        ("t_s,volts,amps\n0,12,1\n1,12,1\n", "line 1 names no column of power; call it watts"),
        (b"\x1f\x8b junk", "its compression is damaged"),
        (gzip.compress(b"t_s,watts\n0,1\n" * 999, mtime=0)[:40], "its compression is damaged"),
        (b"\x00" * 100, "fewer than two columns"),
        ("t_s,watts\n0,1\n1," + "1" * 2_000_000, "line 3 is too long for a row"),
        ("t_s,watts\n0,1\n1,\x1b[31mred\x07\n", "'\\x1b[31mred\\x07'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(written, text, said):
    path = written(text)
    with pytest.raises(BadTrace) as caught:
        read_trace(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_packed_bomb_stops_at_the_limit(written):
    rows = (b"%d,1" % k + b" " * 1_000_000 + b"\n" for k in range(80))
    bomb = written(gzip.compress(b"".join(rows), 1))
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(BadTrace, match=r"more than 64 MiB; cut it down"):
        read_table(bomb)


def test_a_file_of_a_gigabyte_is_not_even_read(written):
    path = written("t_s,watts\n0,x\n")
    with path.open("r+b") as file:
        file.truncate(1 << 30)
    with pytest.raises(BadTrace, match="more than 64 MiB"):
        read_trace(path)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(BadTrace, match="cannot be read: No such file"):
        read_trace(tmp_path / "nowhere.csv")
    with pytest.raises(BadTrace, match="not a file"):
        read_trace(tmp_path)


def test_a_counter_may_be_larger_than_power(written):
    assert read_table(written("t,energy_j\n0,2e9\n1,3e9\n"), ("energy_j",)).columns
    with pytest.raises(BadTrace, match=r"holds 1e16, more than 1e\+15 J"):
        read_table(written("t,energy_j\n0,1\n1,1e16\n"), ("energy_j",))


def test_known_columns_are_taken_by_name(written):
    path = written("t_s,util,instant_w,average_w\n0,5,100,90\n1,5,110,95\n")
    table = read_table(path, ("instant_w", "average_w", "energy_j"))
    assert {name: values.tolist() for name, values in table.columns.items()} == {
        "instant_w": [100, 110],
        "average_w": [90, 95],
    }
