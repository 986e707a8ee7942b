"""The doctor's look at the GPUs in processes of their own, on the fake library: whatever fails or
hangs there ends in facts. About six seconds."""

import ctypes
import json

import pytest

from bench.doctor.facts import NvmlFacts
from bench.meters import cuda_order
from bench.meters.apart import Apart, Told
from bench.meters.cuda_order import look
from bench.symptoms.cards import bus, cuda_facts, nvml_facts

NO_LIBRARY = ("nvmlInitWithFlags", "nvmlDeviceGetCount_v2")
NO_CARD = ("nvmlDeviceGetHandleByIndex_v2",)
OF_THE_SYSTEM = ("nvmlSystemGetDriverVersion", "nvmlSystemGetCudaDriverVersion_v2")
OF_THE_CARD = (
    "nvmlDeviceGetName",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetPersistenceMode",
    "nvmlDeviceGetComputeMode",
    "nvmlDeviceGetComputeRunningProcesses_v3",
)
OF_THE_SENSOR = ("nvmlDeviceGetFieldValues",)
CODES = (3, 9, 15, 999)
FATAL = (9, 15)


@pytest.fixture
def seen(fake_gpu, tmp_path):
    """The facts of a machine whose driver is the fake library; nothing is on its PCI bus."""

    def run(patience_s=10.0, age="new", **settings):
        fake_gpu(age, **settings)
        told = Apart("bench.meters.glance").told(patience_s)
        return nvml_facts(told, bus(tmp_path, tmp_path))

    return run


def test_what_a_healthy_card_tells(seen):
    facts = seen(UPDATE_S=0.05, NAME="NVIDIA H100 80GB HBM3", CUDA=12080)
    assert (facts.driver, facts.cuda, facts.refused, facts.trouble) == (
        "600.00",
        (12, 8),
        None,
        None,
    )
    assert facts.library["fake"]
    (card,) = facts.cards
    assert card.device.profile == "h100"
    assert card.device.power_limit_default_w == 450.0
    assert (card.compute_mode, card.pids, card.calibrated_at) == (0, (), None)
    assert card.sensor.source == "nvml-counter"
    assert {"energy_j", "sm_clock_hz", "throttle_brake_s"} <= set(card.sensor.capabilities)
    assert card.sensor.tick_s == pytest.approx(0.05, rel=0.2)
    assert card.sensor.ticks >= 5


def test_settings_come_through(seen):
    facts = seen(GPUS=2, MIG=1, COMPUTE_MODE=3, PERSISTENCE=0, LIMIT_W=300, PROCESSES="7",
                 GRAPHICS="8", DISPLAY=1, UPDATE_S=0.01)  # fmt: skip
    first, second = facts.cards
    for card in (first, second):
        device = card.device
        assert (device.mig, device.persistence_mode, device.display) == (True, False, True)
        assert device.power_limit_w == 300.0
        assert (card.compute_mode, card.pids, card.graphics) == (3, (7,), (8,))
    assert (first.index, second.index) == (0, 1)
    assert first.device.uuid != second.device.uuid


def test_a_counter_that_stands_still_is_seen(seen):
    (card,) = seen(WATTS=0).cards
    assert (card.sensor.ticks, card.sensor.tick_s) == (0, None)
    assert card.sensor.polled_s > 1.0


def test_an_old_driver_is_looked_at_too(seen):
    (card,) = seen(age="old", UPDATE_S=0.01).cards
    assert "throttle_brake_s" not in card.sensor.capabilities
    assert card.sensor.tick_s == pytest.approx(0.01, rel=0.3)


@pytest.fixture
def failing(python, fake_gpu):
    """{(call, code): facts} of a look in which that call always fails so; not polled."""
    fake_gpu()
    calls = [*NO_LIBRARY, *NO_CARD, *OF_THE_SYSTEM, *OF_THE_CARD, *OF_THE_SENSOR]
    found = python(f"""
        import json, os
        from bench.meters import glance
        from bench.meters.apart import Teller
        glance.POLL_S = 0.0
        every = []
        for call in {calls}:
            for code in {CODES}:
                os.environ["FAKENVML_FAIL"] = f"{{call}}={{code}}"
                teller, said = Teller(), []
                teller.found = said.append
                glance.look(teller)
                every.append((call, code, [line for line in said if "doing" not in line]))
        print(json.dumps(every))
    """)
    return {(call, code): nvml_facts(Told(tuple(said)), NvmlFacts()) for call, code, said in found}


def test_whatever_fails_ends_in_facts(failing):
    assert len(failing) == 44
    for (call, code), facts in failing.items():
        fatal = code in FATAL
        if call in NO_LIBRARY or (call in OF_THE_SYSTEM and fatal):
            assert facts.refused is not None, call
            assert facts.code == code, call
            assert facts.cards == (), call
            continue
        assert facts.refused is None, call
        (card,) = facts.cards
        lost = call in NO_CARD or (call in OF_THE_CARD and fatal)
        assert (card.device is None) == (card.error is not None) == lost, call
        if call in NO_CARD + OF_THE_SENSOR:
            assert (card.sensor.error is not None) == (call in NO_CARD or fatal), call


@pytest.mark.parametrize("call", ["nvmlInitWithFlags", "nvmlDeviceGetFieldValues"])
def test_a_call_that_hangs_is_given_up_and_named(seen, call):
    facts = seen(patience_s=1.0, DELAY=f"{call}=inf")
    assert facts.trouble.startswith(f"the driver hangs in {call.removesuffix('WithFlags')}")
    assert facts.trouble.endswith("no answer in 1 s")
    assert len(facts.cards) == (call == "nvmlDeviceGetFieldValues")


def test_without_a_driver_the_library_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    (tmp_path / "libnvidia-ml.so.1").write_bytes(b"not a library")
    facts = nvml_facts(Apart("bench.meters.glance").told(), bus(tmp_path, tmp_path))
    assert "libnvidia-ml.so.1" in facts.refused
    assert facts.code == 12
    assert (facts.cards, facts.trouble) == ((), None)


def test_a_look_that_dies_says_so():
    told = Apart("bench.meters.nothing_of_this_name").told()
    assert told.found == ()
    assert told.trouble == "the look at the driver died in its start (status 1)"


class FakeCuda:
    """cuda.h's functions over two GPUs; ``fails`` maps a function to its CUresult."""

    def __init__(self, **fails):
        self.fails = fails

    def __getattr__(self, name):
        if name == "cuDeviceGetUuid_v2" and self.fails.get(name) == "absent":
            raise AttributeError(name)
        return lambda *arguments: (
            self.fails.get(name) or getattr(FakeCuda, f"do_{name}")(*arguments)
        )

    def do_cuDriverGetVersion(value):  # noqa: N802, N805 - CUDA's own names
        value._obj.value = 13000
        return 0

    def do_cuInit(flags):  # noqa: N802, N805
        return 0 if flags == 0 else 1

    def do_cuDeviceGetCount(value):  # noqa: N802, N805
        value._obj.value = 2
        return 0

    def do_cuDeviceGet(device, ordinal):  # noqa: N802, N805
        device._obj.value = ordinal
        return 0

    def do_cuDeviceGetUuid(raw, device):  # noqa: N802, N805
        ctypes.memmove(raw, bytes([0xFA, device.value, *range(14)]), 16)
        return 0

    do_cuDeviceGetUuid_v2 = do_cuDeviceGetUuid  # noqa: N815


def cuda_of(capsys, library):
    from bench.meters.apart import Teller

    look(Teller(), library)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return cuda_facts(Told(tuple(line for line in lines if "doing" not in line)), {})


@pytest.mark.parametrize("newer", ["there", "absent"])
def test_cuda_tells_its_version_and_the_uuids_in_its_order(capsys, newer):
    fails = {"cuDeviceGetUuid_v2": "absent"} if newer == "absent" else {}
    facts = cuda_of(capsys, FakeCuda(**fails))
    assert (facts.found, facts.version, facts.code) == (True, (13, 0), None)
    assert facts.uuids == (
        "GPU-fa000001-0203-0405-0607-08090a0b0c0d",
        "GPU-fa010001-0203-0405-0607-08090a0b0c0d",
    )


def test_a_cuda_that_refuses_keeps_its_number(capsys):
    facts = cuda_of(capsys, FakeCuda(cuInit=802))
    assert (facts.version, facts.call, facts.code, facts.uuids) == ((13, 0), "cuInit", 802, ())


def test_a_machine_without_cuda_says_so(capsys, monkeypatch):
    monkeypatch.setattr(cuda_order, "LIBRARY", "libcuda-of-no-machine.so.1")
    facts = cuda_of(capsys, None)
    assert (facts.found, facts.version) == (False, None)
