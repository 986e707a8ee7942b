"""A recording comes again through the Meter port, on virtual and on real time."""

import gzip
import json
import os
import time

import pytest

from bench.cli import run
from bench.machine import RealClock, VirtualClock
from bench.meters import open_meter
from bench.meters.replay import ReplayMeter
from bench.records.run import DeviceFacts

CSV = "t_s,instant_w,average_w,energy_j\n5,100,90,7\n5.1,100,91,7\n5.2,120,92,9\n5.3,110,93,9\n"


@pytest.fixture
def file(tmp_path):
    def write(text, name="trace.csv"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


def read(samples, field):
    return [(pytest.approx(s.t_s), s.value) for s in samples if s.field == field]


@pytest.mark.parametrize("name", ["trace.csv", "trace.csv.gz"])
def test_readings_come_at_their_time_from_the_start_on(file, name):
    clock = VirtualClock()
    clock.sleep(40)
    meter = ReplayMeter(file(CSV, name), clock)
    assert list(meter.poll()) == []
    clock.sleep(2)
    meter.start()
    first = meter.poll()
    assert read(first, "power_instant_w") == [(42.0, 100)]
    clock.sleep(0.25)
    then = meter.poll()
    assert read(then, "power_instant_w") == [(42.1, 100), (42.2, 120)]
    assert read(then, "power_average_w") == [(42.1, 91), (42.2, 92)]
    assert read([*first, *then], "energy_j") == [(42.0, 7), (42.2, 9)]
    clock.sleep(100)
    assert read(meter.poll(), "power_instant_w") == [(42.3, 110)]
    clock.sleep(100)
    assert list(meter.poll()) == []
    meter.stop()
    assert list(meter.poll()) == []


def test_it_says_what_it_is(file):
    facts = ReplayMeter(file(CSV), VirtualClock()).facts()
    assert (facts.source, facts.name, facts.mismatch) == ("replay", "replay of trace.csv", True)
    assert facts.capabilities == ("energy_j", "power_average_w", "power_instant_w")
    assert facts.sensor.update_s == pytest.approx(0.1)
    assert (facts.sensor.window_s, facts.sensor.kind) == (None, "unknown")


def test_the_update_period_is_the_sensors_and_not_the_polls(file):
    rows = "".join(f"{k / 100},{200 + k // 10 % 7}\n" for k in range(600))
    facts = ReplayMeter(file("t_s,watts\n" + rows), VirtualClock()).facts()
    assert facts.sensor.update_s == pytest.approx(0.1, rel=0.001)
    assert facts.capabilities == ("power_w",)


def test_a_pace_of_zero_lets_readings_pass_unread(file):
    clock = VirtualClock()
    meter = ReplayMeter(file(CSV), clock)
    meter.start()
    assert len(meter.poll()) == 3
    meter.pace(0)
    clock.sleep(0.25)
    assert list(meter.poll()) == []
    meter.pace(None)
    clock.sleep(0.1)
    assert read(meter.poll(), "power_instant_w") == [(0.3, 110)]


def test_on_real_time(file):
    meter = open_meter(f"replay:{file(CSV)}", DeviceFacts(kind="cpu", name="a"), lambda _: None)
    before_s = time.monotonic()
    meter.start()
    after_s = time.monotonic()
    first = meter.poll()
    assert before_s <= first[0].t_s <= after_s
    assert all(sample.t_s <= time.monotonic() for sample in first)


@pytest.mark.parametrize("name", ["a.samples.jsonl", "a.samples.jsonl.gz"])
@pytest.mark.parametrize("tail", ["", '{"kind": "sam'])
def test_a_journal_is_replayed_but_for_a_line_cut_off(file, name, tail):
    facts = [
        {"kind": "event", "t_s": 3.0, "name": "opened", "data": {"long": "x" * 20000}},
        {"kind": "sample", "t_s": 9.0, "field": "power_w", "value": 70.0},
        {"kind": "progress", "t_s": 9.1, "units": 4},
        {"kind": "sample", "t_s": 9.5, "field": "energy_j", "value": 1.0, "reported_s": 9.4},
    ]
    text = "".join(json.dumps(fact) + "\n" for fact in facts) + tail
    clock = VirtualClock()
    meter = ReplayMeter(file(text, name), clock)
    meter.start()
    clock.sleep(1)
    assert [(s.t_s, s.field, s.value, s.reported_s) for s in meter.poll()] == [
        (0.0, "power_w", 70.0, None),
        (0.5, "energy_j", 1.0, pytest.approx(0.4)),
    ]


SAMPLE = '{"kind": "sample", "t_s": 1.0, "field": "power_w", "value": 70.0}\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "fewer than two columns"),
        ("t_s,volts,amps\n0,1,2\n1,1,2\n", "names no column of power"),
        ('{"kind": "nonsense"}\n' + SAMPLE, "line 1 is no line of a journal; restore"),
        ("{}[\n" + SAMPLE, "line 1 is no line of a journal"),
        (SAMPLE.replace("70.0", "NaN") + SAMPLE, "line 1 is no line of a journal"),
        (SAMPLE.replace("70.0", "1e308") + SAMPLE, "line 1 is no line of a journal"),
        (SAMPLE.replace("70.0", '"70"') + SAMPLE, "line 1 is no line of a journal"),
        (SAMPLE.replace("power_w", "charm") + SAMPLE, "line 1 is no line of a journal"),
        ("[" * 100_000 + "\n" + SAMPLE, "fewer than two columns"),
        ('{"a":' * 100_000 + "\n" + SAMPLE, "line 1 is no line of a journal"),
        ('{"kind": "clocks", "monotonic_s": 1, "realtime_s": 1, "boottime_s": 1}\n', "no power"),
        (SAMPLE.replace("power_w", "temperature_c"), "no power and no energy"),
    ],
)
def test_a_bad_file_is_one_sentence(file, text, said):
    device = DeviceFacts(kind="cpu", name="a")
    with pytest.raises(ValueError, match="--meter replay: ") as caught:
        open_meter(f"replay:{file(text)}", device, lambda _: None, RealClock())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_on_a_recording_is_labelled(file, tmp_path, monkeypatch, capsys):
    """Also on a simulated device: the recording runs on its virtual time."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{k / 50:.2f},{200 + k // 5 % 9}\n" for k in range(50 * 200))
    spec = f"replay:{file('t_s,watts' + chr(10) + rows)}"
    asked = ["all", "--device", "sim:rtx4090", "--grade", "quick", "--meter", spec]
    status = run([*asked, "--json", "-", "--set", "power=0.05", "--out", str(tmp_path / "out")])
    record = json.loads(capsys.readouterr().out)
    assert status == 0
    assert record["meter"]["source"] == "replay"
    assert record["workloads"][0]["metrics"]["joules_source"] == "replayed"
    assert record["workloads"][0]["metrics"]["watts"]["mid"] == pytest.approx(204, abs=2)
    assert "METER_MISMATCH" in [code["name"] for code in record["validity"]["codes"]]


def test_a_clock_of_gigahertz_is_no_power(file):
    clock = SAMPLE.replace("power_w", "sm_clock_hz").replace("70.0", "1.98e9")
    meter = ReplayMeter(file(SAMPLE + clock, "a.samples.jsonl"), VirtualClock())
    assert meter.facts().capabilities == ("power_w", "sm_clock_hz")


def test_a_recording_whose_name_is_no_text_gives_a_record_that_stands(tmp_path, capsys):
    path = os.fsencode(tmp_path) + b"/t\xff.csv"
    with open(path, "w", encoding="ascii") as out:
        out.write("t_s,watts\n" + "".join(f"{k / 5},{200 + k % 9}\n" for k in range(5 * 200)))
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/out\xff")
    asked = ["all", "--device", "sim:rtx4090", "--grade", "quick", "--out", folder]
    assert run([*asked, "--meter", f"replay:{os.fsdecode(path)}"]) == 0
    (saved,) = (f"{folder}/{name}" for name in os.listdir(folder) if name.endswith(".json"))
    with open(saved, encoding="utf-8") as file:
        record = json.load(file)
    assert record["plan"]["meter"].endswith("/t\ufffd.csv")
    assert record["meter"]["name"] == "replay of t\ufffd.csv"
    capsys.readouterr()
    assert run(["verify", "--json", "-", saved]) == 0
    (found,) = json.loads(capsys.readouterr().out.encode())["files"]
    assert "/out\ufffd/" in found["file"]


def test_a_bad_recording_is_a_wrong_use(file, tmp_path, capsys):
    spec = f"replay:{file('t_s,watts' + chr(10) + '0,x')}"
    status = run(["all", "--device", "cpu", "--meter", spec, "--out", str(tmp_path / "out")])
    assert status == 2
    assert "line 2 has no number in 'x'" in " ".join(capsys.readouterr().err.split())
