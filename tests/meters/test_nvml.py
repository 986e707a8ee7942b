"""The GPUs and the sensor that the real nvidia-ml-py finds in the fake library."""

import json

import pytest

from bench.meters.nvml_errors import ErrorClass, classify
from bench.meters.nvml_processes import mps_daemon

LISTED = """
    import dataclasses, json
    from bench.meters import nvml
    print(json.dumps([dataclasses.asdict(gpu) for gpu in nvml.list_gpus()]))
"""
# Each case: [function, arguments, fault]; the answer is the UUID or the refusal.
RESOLVED = """
    import json, os
    from bench.meters import nvml
    from bench.ports import MeterError
    def answer(name, arguments, fault=""):
        os.environ["FAKENVML_FAIL"] = fault
        try:
            return getattr(nvml, name)(*arguments).uuid
        except MeterError as error:
            return str(error)
    print(json.dumps([answer(*case) for case in json.loads('''{cases}''')]))
"""
FACTS = """
    import dataclasses, json
    from bench.meters.nvml_sensor import NvmlSensor
    sensor = NvmlSensor("{selector}")
    read = {{reading.field: reading.value for reading in sensor.read(slow=True)}}
    print(json.dumps([dataclasses.asdict(sensor.facts()), read]))
"""
STRANGERS = """
    import json
    from bench.meters.nvml import strangers
    print(json.dumps(strangers("{uuid}")))
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

UUID = [f"GPU-fa4e{index:04x}-0000-4000-8000-00000000{index:04x}" for index in range(3)]
ABSENT = (2, 3, 4, 6, 13, 14, 25, 26)
TRANSIENT = (10, 11, 19, 20, 21, 23, 27, 999)
FATAL = (8, 9, 12, 17, 18, 28)
LOST = (15, 16)


def uuids(python, cases):
    return python(RESOLVED.format(cases=json.dumps(cases)))


def outcomes(python, cases):
    return python(FAULTS.format(cases=json.dumps(cases)))


def test_facts_of_every_gpu_in_si_units(fake_gpu, python):
    fake_gpu(GPUS=2, NAME="Fake A|Fake B")
    first, second = python(LISTED)
    library = first.pop("nvml_library")
    assert first == {
        "kind": "gpu",
        "name": "Fake A",
        "index": 0,
        "uuid": UUID[0],
        "compute_capability": "9.0",
        "memory_bytes": 80 * 2**30,
        "power_limit_w": 400.0,
        "power_limit_default_w": 450.0,
        "power_limit_max_w": 500.0,
        "sm_clock_max_hz": 1.98e9,
        "driver": "600.00",
        "vbios": "96.00.00.00.01",
        "persistence_mode": True,
        "profile": None,
        "threads": None,
        "features": [],
        "mig": False,
        "mps": False,
        "vgpu": False,
        "display": False,
        "ecc": True,
        "temperature_slowdown_c": 92.0,
        "truth": None,
    }
    assert (second["name"], second["index"], second["uuid"]) == ("Fake B", 1, UUID[1])
    assert library["path"].endswith("libnvidia-ml.so.1")
    assert len(library["sha256"]) == 64
    assert (library["fake"], library["standard_path"]) == (True, False)
    assert library["version"] == "13.600.00"


def test_what_a_card_does_not_tell_is_null(fake_gpu, python):
    fake_gpu(
        FAIL="nvmlDeviceGetVbiosVersion=3,nvmlDeviceGetPowerManagementLimitConstraints=4,"
        "nvmlDeviceGetMemoryInfo=999,nvmlDeviceGetCudaComputeCapability=14"
    )
    (gpu,) = python(LISTED)
    unknown = ("vbios", "power_limit_max_w", "memory_bytes", "compute_capability")
    assert [gpu[name] for name in unknown] == [None] * 4
    assert gpu["power_limit_w"] == 400.0


def test_a_name_that_is_not_utf8_is_read_all_the_same(fake_gpu, python):
    fake_gpu(NAME="Fake \udcff GPU")
    (gpu,) = python(LISTED)
    assert gpu["name"] == "Fake \ufffd GPU"


def test_the_index_is_nvmls_and_the_mask_holds(fake_gpu, python):
    fake_gpu(GPUS=3)
    hidden = "CUDA_VISIBLE_DEVICES"
    cases = [
        ["resolve", [2, {}]],
        ["resolve", [1, {hidden: "1"}]],
        ["resolve", [2, {hidden: f"{UUID[2][:12]}"}]],
        ["first_visible", [{}]],
        ["first_visible", [{hidden: "2,0"}]],
    ]
    assert uuids(python, cases) == [UUID[2], UUID[1], UUID[2], UUID[0], UUID[2]]


def test_refusals_say_what_and_what_to_do(fake_gpu, python):
    fake_gpu(GPUS=3)
    mask = "CUDA_VISIBLE_DEVICES"
    absent, hidden, none_left, minus = uuids(
        python,
        [
            ["resolve", [99, {}]],
            ["resolve", [0, {mask: "1,2"}]],
            ["first_visible", [{mask: ""}]],
            ["resolve", [-1, {}]],
        ],
    )
    repeated, part = uuids(
        python,
        [
            ["first_visible", [{mask: "1,1"}]],
            ["resolve", [2, {mask: "MIG-fa4e/1/0"}]],
        ],
    )
    assert "1 repeats a GPU" in repeated
    assert "MIG-fa4e/1/0 is a part of a GPU" in part
    assert "no GPU 99" in absent
    assert "has 3 (indices 0 to 2)" in absent
    assert f"GPU 0 (Fake GPU) is hidden by {mask}=1,2" in hidden
    assert UUID[0] in hidden
    assert "hides every GPU" in none_left
    assert "no GPU -1" in minus
    assert all("--device cpu" in text for text in (absent, hidden, none_left, minus))


def test_numbers_in_the_mask_need_an_order_when_gpus_differ(fake_gpu, python):
    fake_gpu(GPUS=2, NAME="Fast|Slow")
    mask = {"CUDA_VISIBLE_DEVICES": "1"}
    refused, resolved = uuids(
        python,
        [
            ["resolve", [1, mask]],
            ["resolve", [1, {**mask, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}]],
        ],
    )
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in refused
    assert resolved == UUID[1]


def test_a_driver_without_gpus(fake_gpu, python):
    fake_gpu(GPUS=0)
    cases = [["resolve", [0, {}]], ["first_visible", [{}]]]
    assert all("sees no GPU" in text for text in uuids(python, cases))


def test_a_library_that_does_not_start_is_refused_with_the_meaning(fake_gpu, python):
    fake_gpu()
    codes = (*FATAL, 999)
    cases = [["resolve", [0, {}], f"nvmlInitWithFlags={code}"] for code in codes]
    for code, refusal in zip(codes, uuids(python, cases), strict=True):
        assert f"NVML error {code}" in refusal
        assert "--device cpu" in refusal


def test_a_lost_gpu_is_not_listed_and_says_so_when_asked_for(fake_gpu, python):
    lost = "nvmlDeviceGetVbiosVersion=15"
    fake_gpu(GPUS=2, FAIL=lost)
    assert python(LISTED) == []
    assert "fallen off the bus" in uuids(python, [["resolve", [1, {}], lost]])[0]


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


def test_modes_of_sharing_are_told(fake_gpu, python):
    fake_gpu(MIG=1, VGPU=3, DISPLAY=1, MPS="77", ECC="off")
    (gpu,) = python(LISTED)
    told = [gpu[name] for name in ("mig", "vgpu", "display", "mps", "ecc")]
    assert told == [True, True, True, True, False]


def test_modes_that_a_card_does_not_have_are_off_and_those_it_hides_unknown(fake_gpu, python):
    hidden = "=4,".join(
        ["nvmlDeviceGetVirtualizationMode", "nvmlDeviceGetDisplayActive",
         "nvmlDeviceGetMPSComputeRunningProcesses_v3", "nvmlDeviceGetMPSComputeRunningProcesses_v2",
         "nvmlDeviceGetEccMode", ""]
    )  # fmt: skip
    fake_gpu(FAIL=f"{hidden}nvmlDeviceGetMigMode=3")
    (gpu,) = python(LISTED)
    told = [gpu[name] for name in ("mig", "vgpu", "display", "mps", "ecc")]
    assert told == [False, None, None, None, None]


@pytest.mark.parametrize("mode", [0, 1])
def test_a_whole_gpu_passed_through_to_a_virtual_machine_is_not_shared(fake_gpu, python, mode):
    fake_gpu(VGPU=mode)
    assert python(LISTED)[0]["vgpu"] is False


def test_strangers_on_the_gpu_are_listed_clients_of_mps_among_them(fake_gpu, python):
    fake_gpu(PROCESSES="4001,4000", MPS="5000,4000", GRAPHICS="9")
    assert python(STRANGERS.format(uuid=UUID[0])) == [4000, 4001, 5000]
    fake_gpu(PROCESSES="", MPS="")
    assert python(STRANGERS.format(uuid=UUID[0])) == []


def test_strangers_that_cannot_be_told_are_unknown(fake_gpu, python):
    call = "nvmlDeviceGetComputeRunningProcesses"
    for code in (4, 999):
        fake_gpu(PROCESSES="4001", FAIL=f"{call}_v3={code},{call}_v2={code}")
        assert python(STRANGERS.format(uuid=UUID[0])) is None


def test_what_an_mps_daemon_leaves_behind_is_no_daemon(tmp_path):
    pipes, proc = tmp_path / "pipes", tmp_path / "proc"
    (proc / "123").mkdir(parents=True)
    pipes.mkdir()
    environ = {"CUDA_MPS_PIPE_DIRECTORY": str(pipes)}
    assert not mps_daemon(environ, proc)
    (pipes / "nvidia-cuda-mps-control.pid").write_text("123\n")
    assert not mps_daemon(environ, proc)
    (proc / "123" / "comm").write_text("sleep\n")
    assert not mps_daemon(environ, proc)
    (proc / "123" / "comm").write_text("nvidia-cuda-mps\n")
    assert mps_daemon(environ, proc)


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
