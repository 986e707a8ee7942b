import subprocess
import sys

import pytest

from bench.meters import open_meter
from bench.meters.none import NoMeter
from bench.ports import MeterError
from bench.records.run import DeviceFacts


def no_simulation(name):
    raise AssertionError(f"the simulated sensor {name} was not asked for")


@pytest.fixture
def opened():
    meters = []

    def open_one(spec, device, simulated=no_simulation):
        meters.append(open_meter(spec, device, simulated))
        return meters[-1]

    yield open_one
    for meter in meters:
        meter.stop()


def test_assumed_watts(opened, cpu):
    meter = opened("assumed:65.5", cpu)
    facts = meter.facts()
    assert (facts.source, facts.constant_w, facts.scope) == ("assumed", 65.5, None)
    meter.start()
    assert list(meter.poll()) == []


@pytest.mark.parametrize("watts", ["", "0", "-5", "nan", "inf", "many"])
def test_assumed_watts_must_be_a_power(cpu, watts):
    with pytest.raises(ValueError, match="above 0") as caught:
        open_meter(f"assumed:{watts}", cpu, no_simulation)
    assert "\n" not in str(caught.value)


def test_none_says_why(opened, cpu):
    meter = opened("none", cpu)
    facts = meter.facts()
    assert (facts.source, facts.scope) == ("none", None)
    assert "--meter none" in facts.reason
    meter.start()
    assert list(meter.poll()) == []


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "nvml",
        "nvml:",
        "nvml:x",
        "nvml:-1",
        "rapl:0",
        "sim",
        "sim:",
        "auto:1",
        "none:",
        "watt",
        "replay",
        "replay:",
    ],
)
def test_a_bad_spec_names_the_forms(cpu, spec):
    with pytest.raises(
        ValueError, match=r"auto, nvml:N, rapl, assumed:W, none, sim:NAME or replay:FILE"
    ):
        open_meter(spec, cpu, no_simulation)


def test_simulated_sensors_are_asked_for_by_name_or_as_the_devices_own(opened, cpu):
    asked = []

    def simulated(name):
        asked.append(name)
        return NoMeter("simulated")

    opened("sim:h100", cpu, simulated)
    opened("auto", DeviceFacts(kind="sim", name="a simulated card"), simulated)
    assert asked == ["h100", None]


@pytest.mark.parametrize("spec", ["nvml:0", "rapl"])
def test_a_real_sensor_cannot_read_virtual_time(spec):
    with pytest.raises(ValueError, match="virtual time"):
        open_meter(spec, DeviceFacts(kind="sim", name="a simulated card"), no_simulation)


def test_auto_on_a_processor_is_rapl_or_none_with_the_reason(opened, cpu):
    facts = opened("auto", cpu).facts()
    assert not facts.mismatch
    assert facts.source == "rapl" or (facts.source == "none" and facts.reason)


def test_auto_on_a_gpu_is_nvml_of_the_same_uuid(opened, fake_gpu):
    fake_gpu(GPUS=2)
    uuid = "GPU-fa4e0001-0000-4000-8000-000000000001"
    device = DeviceFacts(kind="gpu", name="Fake GPU", index=1, uuid=uuid)
    facts = opened("auto", device).facts()
    assert (facts.source, facts.device_uuid, facts.mismatch) == ("nvml-counter", uuid, False)


@pytest.mark.parametrize(("spec", "mismatch"), [("nvml:0", False), ("nvml:1", True)])
def test_nvml_of_another_gpu_is_a_mismatch(opened, fake_gpu, gpu, spec, mismatch):
    fake_gpu(GPUS=2)
    assert opened(spec, gpu).facts().mismatch is mismatch


def test_nvml_beside_a_processor_is_a_mismatch(opened, fake_gpu, cpu):
    fake_gpu()
    assert opened("nvml:0", cpu).facts().mismatch


def test_a_gpu_that_is_not_there_says_how_many_there_are(fake_gpu, gpu):
    fake_gpu(GPUS=2)
    with pytest.raises(MeterError, match=r"no GPU 7: this machine has 2 \(indices 0 to 1\)"):
        open_meter("nvml:7", gpu, no_simulation)


def test_importing_the_room_imports_no_instrument():
    code = "import sys, bench.meters; print([m for m in sys.modules if m == 'pynvml'])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"
