"""One GPU's sensor as the real nvidia-ml-py shows it through the fake library."""

import itertools
import json
import math
import time

import pytest

from bench.meters.nvml_errors import ErrorClass, classify

FACTS = """
    import dataclasses, json
    from bench.meters.nvml_sensor import NvmlSensor
    sensor = NvmlSensor("{selector}")
    read = {{reading.field: reading.value for reading in sensor.read(slow=True)}}
    print(json.dumps([dataclasses.asdict(sensor.facts()), read]))
"""
# For each (settings at the opening, settings in the run): what came of it.
FAULTS = """
    import json, os
    from bench.meters.nvml_sensor import NvmlSensor
    from bench.meters.sampling import MeterLost, Missing, TransientError
    from bench.ports import MeterError
    def put(fault):
        os.environ["FAKENVML_FAIL"] = fault
    def outcome(opening, run):
        put(opening)
        try:
            sensor = NvmlSensor("0")
        except MeterError as error:
            return ["refused", str(error)]
        put(run)
        try:
            readings = sensor.read(slow=True)
            again = sensor.read(slow=True)
        except TransientError as error:
            return ["transient", str(error)]
        except MeterLost as error:
            return [error.code, str(error)]
        missing = sorted(r.field for r in readings if isinstance(r, Missing))
        assert not any(isinstance(r, Missing) for r in again)
        facts = sensor.facts()
        return ["read", missing, list(facts.capabilities), facts.source]
    print(json.dumps([outcome(*case) for case in json.loads('''{cases}''')]))
"""
STRANGERS = """
    import json
    from bench.meters.nvml import strangers
    print(json.dumps(strangers("{uuid}")))
"""

UUID = [f"GPU-fa4e{index:04x}-0000-4000-8000-00000000{index:04x}" for index in range(3)]
ABSENT = (2, 3, 4, 6, 13, 14, 25, 26)
TRANSIENT = (10, 11, 19, 20, 21, 23, 27, 999)
FATAL = (8, 9, 12, 17, 18, 28)
LOST = (15, 16)


def outcomes(python, cases):
    return python(FAULTS.format(cases=json.dumps(cases)))


@pytest.mark.parametrize("selector", ["0", UUID[0]])
def test_a_sensor_is_opened_by_index_or_uuid(fake_gpu, python, selector):
    fake_gpu(WATTS=250)
    facts, read = python(FACTS.format(selector=selector))
    assert (facts["source"], facts["scope"]) == ("nvml-counter", "gpu")
    assert facts["device_uuid"] == UUID[0]
    assert (facts["library"]["fake"], facts["library"]["standard_path"]) == (True, False)
    assert read["power_instant_w"] == read["power_average_w"] == 250.0
    assert read["power_w"] == 250.0
    assert read["sm_clock_hz"] == 1.755e9
    assert read["mem_clock_hz"] == 2.619e9
    assert (read["temperature_c"], read["power_limit_w"], read["pstate"]) == (55.0, 400.0, 2.0)
    assert read["ecc_uncorrected"] == 0.0
    assert facts["reason"] is None


@pytest.mark.parametrize(("capability", "meaning"), [("8.0", "instant"), ("8.6", "mean-of-1-s")])
def test_what_power_usage_means_depends_on_the_chip(fake_gpu, python, capability, meaning):
    fake_gpu(CC=capability)
    facts, _ = python(FACTS.format(selector="0"))
    assert f"usage:{meaning}" in facts["capabilities"]
    assert "xid" in facts["capabilities"]


def test_an_old_driver_gives_what_it_has(fake_gpu, python):
    fake_gpu("old", WATTS=250, THROTTLE="74=0.5", PROCESSES="41,42")
    facts, read = python(FACTS.format(selector="0"))
    assert facts["source"] == "nvml-counter"
    assert read["energy_j"] > 0
    assert read["power_w"] == 250.0
    had = set(facts["capabilities"])
    assert "throttle_power_s" in had
    assert not {"power_instant_w", "power_average_w", "throttle_thermal_s"} & had
    assert "field 186: not supported" in facts["reason"]
    assert python(STRANGERS.format(uuid=UUID[0])) == [41, 42]


FALLBACKS = {
    "field191=3": "nvml-counter",  # the function is there
    "field191=3,nvmlDeviceGetTotalEnergyConsumption=3": "nvml-instant",
    "field191=2,nvmlDeviceGetTotalEnergyConsumption=13,field186=3": "nvml-average",
    "nvmlDeviceGetFieldValues=2,nvmlDeviceGetTotalEnergyConsumption=3": "nvml-power-usage",
}


def test_sources_fall_back_in_order(fake_gpu, python):
    fake_gpu()
    found = outcomes(python, [[fault, fault] for fault in FALLBACKS])
    for source, (kind, missing, capabilities, chosen) in zip(
        FALLBACKS.values(), found, strict=True
    ):
        assert (kind, missing, chosen) == ("read", [], source)
        assert ("energy_j" in capabilities) == (source == "nvml-counter")


def test_a_card_without_any_reading_of_power_is_refused(fake_gpu, python):
    fake_gpu()
    nothing = (
        "nvmlDeviceGetFieldValues=3,nvmlDeviceGetTotalEnergyConsumption=3,nvmlDeviceGetPowerUsage=3"
    )
    ((kind, text),) = outcomes(python, [[nothing, ""]])
    assert kind == "refused"
    assert "--assume-watts" in text


def test_a_field_of_unknown_type_is_absent_not_zero(fake_gpu, python):
    fake_gpu(TYPE="field186=9")
    facts, read = python(FACTS.format(selector="0"))
    assert "power_instant_w" not in read
    assert read["power_w"] == 200.0
    assert "unknown type 9" in facts["reason"]


def test_a_counter_whose_field_goes_is_read_by_its_function(fake_gpu, python):
    fake_gpu()
    ((kind, missing, capabilities, source),) = outcomes(python, [["", "field191=3"]])
    assert (kind, missing, source) == ("read", [], "nvml-counter")
    assert "energy_j" in capabilities


def test_power_usage_is_read_at_every_tick_once_it_is_all_there_is(fake_gpu, python):
    fake_gpu(FAIL="field186=3,field185=3,field191=3,nvmlDeviceGetTotalEnergyConsumption=3")
    fields = python("""
        import json
        from bench.meters.nvml_sensor import NvmlSensor
        print(json.dumps([reading.field for reading in NvmlSensor("0").read(slow=False)]))
    """)
    assert "power_w" in fields


ONLY_MODULE = (
    "field185=3,field186=3,field191=3,nvmlDeviceGetPowerUsage=3,"
    "nvmlDeviceGetTotalEnergyConsumption=3"
)


def test_a_module_is_read_only_where_its_gpu_cannot_be_and_says_so(fake_gpu, python):
    fake_gpu(WATTS=250, MODULE_W=100)
    facts, read = python(FACTS.format(selector="0"))
    assert (facts["scope"], read["power_instant_w"]) == ("gpu", 250.0)
    fake_gpu(FAIL=ONLY_MODULE)
    facts, read = python(FACTS.format(selector="0"))
    assert facts["scope"] == facts["sensor"]["scope"] == "module"
    assert (facts["source"], read["power_instant_w"]) == ("nvml-counter", 350.0)
    assert "power_w" not in read


SURVEYED = """
    import json
    from bench.meters.nvml_sensor import NvmlSensor
    notice = NvmlSensor("0").survey()
    print(json.dumps([notice.name, notice.data]))
"""


def test_a_survey_tells_who_computes_and_who_draws(fake_gpu, python):
    fake_gpu(PROCESSES="4001", GRAPHICS="9,8", MPS="5000")
    data = {"pids": [4001, 5000], "graphics": [8, 9], "mps": True}
    assert python(SURVEYED) == ["processes", data]


@pytest.mark.parametrize("code", [4, 999])
def test_a_survey_that_cannot_tell_says_why(fake_gpu, python, code):
    call = "nvmlDeviceGetComputeRunningProcesses"
    fake_gpu(FAIL=f"{call}_v3={code},{call}_v2={code}")
    name, data = python(SURVEYED)
    assert (name, data["pids"]) == ("processes", [])
    assert f"NVML error {code}" in data["reason"]


def test_xids_and_uncorrectable_errors_since_the_opening_are_told_once(fake_gpu, python):
    fake_gpu(XID="13@-1,79@0.05,31@0.05,43@999", ECC="1,2@0.05")
    told = python("""
        import json, select
        from bench.meters.nvml_sensor import NvmlSensor
        from bench.meters.sampling import Notice
        sensor = NvmlSensor("0")
        def tell():
            read = sensor.read(slow=True)
            xids = [(each.name, each.data) for each in read if isinstance(each, Notice)]
            errors = [r.value for r in read if getattr(r, "field", "") == "ecc_uncorrected"]
            return [xids, errors]
        first = tell()
        select.select([], [], [], 0.1)
        print(json.dumps([first, tell(), tell()]))
    """)
    both = [["xid", {"code": 79}], ["xid", {"code": 31}]]
    assert told == [[[], [1.0]], [both, [3.0]], [[], [3.0]]]


def test_a_card_that_reports_no_xids_says_so(fake_gpu, python):
    fake_gpu(FAIL="nvmlDeviceRegisterEvents=3")
    facts, _ = python(FACTS.format(selector="0"))
    assert "xid" not in facts["capabilities"]
    assert "nvmlDeviceRegisterEvents: not supported" in facts["reason"]


CALLS = {
    "field186": "power_instant_w",
    "field271": "throttle_brake_s",
    "nvmlDeviceGetClockInfo": "sm_clock_hz",
    "nvmlDeviceGetTemperature": "temperature_c",
    "nvmlDeviceGetTotalEccErrors": "ecc_uncorrected",
}


def test_error_classes_in_a_run(fake_gpu, python):
    fake_gpu()
    cases = [
        (call, field, code)
        for call, field in CALLS.items()
        for code in (*ABSENT, *TRANSIENT, *FATAL, *LOST)
    ]
    results = outcomes(python, [["", f"{call}={code}"] for call, _, code in cases])
    for (call, field, code), (kind, detail, *rest) in zip(cases, results, strict=True):
        if code in ABSENT:
            assert kind == "read", (call, code)
            assert field in detail
            assert field not in rest[0]
        elif code in TRANSIENT:
            assert kind == "transient", (call, code)
        else:
            assert kind == "GPU_LOST", (call, code)
            assert f"NVML error {code}" in detail


def test_error_classes_at_the_opening(fake_gpu, python):
    fake_gpu()
    cases = [
        (call, field, code)
        for call, field in CALLS.items()
        for code in (*ABSENT, *TRANSIENT, *FATAL, *LOST)
    ]
    results = outcomes(python, [[f"{call}={code}", ""] for call, _, code in cases])
    for (call, field, code), (kind, detail, *rest) in zip(cases, results, strict=True):
        if code in (*ABSENT, *TRANSIENT):
            assert kind == "read", (call, code)
            assert field not in rest[0]
        else:
            assert kind == "refused", (call, code)
            assert f"NVML error {code}" in detail


def test_half_a_sum_is_not_told_as_the_whole(fake_gpu, python):
    fake_gpu()
    ((kind, missing, capabilities, _),) = outcomes(python, [["", "field270=3"]])
    assert (kind, missing) == ("read", ["throttle_thermal_s"])
    assert "throttle_thermal_s" not in capabilities


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        (ABSENT, ErrorClass.ABSENT),
        (TRANSIENT, ErrorClass.TRANSIENT),
        (FATAL, ErrorClass.FATAL),
        (LOST, ErrorClass.LOST),
        ((1, 5, 22, 24, 29, 12345), ErrorClass.TRANSIENT),
    ],
)
def test_classes(codes, kind):
    assert {classify(code) for code in codes} == {kind}


# The readings of a sensor every few ms, as (monotonic s, instant W, counted J).
POLLED = """
    import json, select, time
    from bench.meters.nvml_sensor import NvmlSensor
    sensor, polled = NvmlSensor("0"), []
    for _ in range(60):
        before_s = time.monotonic()
        read = {r.field: r.value for r in sensor.read(slow=False)}
        after_s = time.monotonic()
        polled.append([before_s, after_s, read["power_instant_w"], read["energy_j"]])
        select.select([], [], [], 0.004)
    print(json.dumps(polled))
"""


def test_the_fake_sensor_shows_the_load_file_through_its_window_lag_gain_and_offset(
    fake_gpu, python, tmp_path
):
    """Always fresh, so that each reading is the mean over a window that ends a lag ago."""
    switches = [(k * 0.011, k % 2) for k in range(200)]
    now_s = time.monotonic()
    load = tmp_path / "load"
    lines = [f"{now_s + t_s:.6f} {level}\n" for t_s, level in switches]
    load.write_text("".join(lines) + f"{now_s} 1")  # the last line is not whole yet
    model = {"WINDOW_S": 0.025, "LAG_S": 0.04, "GAIN": 1.05, "OFFSET_W": -20}
    fake_gpu(WATTS="100:500", LOAD=load, UPDATE_S=0, **model)

    def level_s(t_s):
        ends = [*(each[0] for each in switches[1:]), math.inf]
        stretches = zip(switches, ends, strict=True)
        return sum(max(min(t_s, end) - at, 0) * on for (at, on), end in stretches if on)

    def shown_w(t_s):
        end_s = t_s - now_s - 0.04
        share = (level_s(end_s) - level_s(end_s - 0.025)) / 0.025
        return 1.05 * (100 + 400 * share) - 20

    polled = python(POLLED)
    for before_s, after_s, watts, _ in polled:
        near = [shown_w(before_s + k / 8 * (after_s - before_s)) for k in range(9)]
        assert min(near) - 2 <= watts <= max(near) + 2
    (first, _, _, begun_j), (_, last, _, ended_j) = polled[0], polled[-1]
    true_j = 1.05 * (100 * (last - first) + 400 * (level_s(last - now_s) - level_s(first - now_s)))
    assert ended_j - begun_j == pytest.approx(true_j - 20 * (last - first), rel=0.05)


def test_the_fake_counter_ticks_apart_from_the_updates(fake_gpu, python):
    fake_gpu(WATTS="100:300:0.01", UPDATE_S=0.03, JITTER=0.3, TICK_S=0.1, NOISE_W=5)
    polled = python(POLLED)
    seconds = polled[-1][1] - polled[0][0]
    shown, counted = ({poll[k] for poll in polled} for k in (2, 3))
    assert len(shown) == pytest.approx(seconds / 0.03, abs=4)
    assert len(counted) == pytest.approx(seconds / 0.1, abs=2)


def test_the_fake_counter_wraps_where_it_is_told_to(fake_gpu, python):
    fake_gpu(WATTS="200", UPDATE_S=0, COUNT_J=9.0, WRAP_J=10)
    counted = [poll[3] for poll in python(POLLED)]
    falls = [b - a for a, b in itertools.pairwise(counted) if b < a]
    assert min(counted) >= 0.0
    assert max(counted) < 10.0
    assert len(falls) >= 2
