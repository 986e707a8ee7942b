"""The doctor's look at the GPUs in processes of their own, on the fake library: whatever fails or
hangs there ends in facts. About 15 seconds."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.cli import run
from bench.doctor.facts import NvmlFacts
from bench.meters import cuda_order
from bench.meters.apart import Apart, Teller, Told
from bench.symptoms.cards import Glances, bus, cuda_facts, nvml_facts

FAKE_CUDA = Path(__file__).parents[1] / "fakenvml" / "fakecuda.c"
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
    assert (card.sensor.source, card.sensor.scope) == ("nvml-counter", "gpu")
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
    facts = seen(patience_s=3.0, DELAY=f"{call}=inf")
    assert facts.trouble.startswith(f"the driver hangs in {call.removesuffix('WithFlags')}")
    assert facts.trouble.endswith("no answer in 3 s")
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


@pytest.fixture(scope="session")
def fakecuda(tmp_path_factory):
    """The folder of a libcuda.so.1 of our own."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is needed to build the fake CUDA library")
    folder = tmp_path_factory.mktemp("fakecuda")
    library = folder / "libcuda.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, FAKE_CUDA], check=True)
    return folder


@pytest.fixture
def fake_machine(fake_gpu, fakecuda, tmp_path, monkeypatch):
    """A machine of fake GPUs under a fake CUDA, whose bus shows nothing; returns its doctor."""

    def doctor(*, init="0", **settings):
        fake_gpu(**settings)
        monkeypatch.setenv("LD_LIBRARY_PATH", f"{os.environ['LD_LIBRARY_PATH']}:{fakecuda}")
        monkeypatch.setenv("FAKECUDA_INIT", init)
        monkeypatch.setattr("bench.symptoms.Glances", lambda: Glances(tmp_path, tmp_path))
        file = tmp_path / "doctor.json"
        status = run(["doctor", "--json", str(file), "--out", str(tmp_path / "runs")])
        return status, items(json.loads(file.read_text()))

    return doctor


def items(document):
    assert document.pop("schema") == "joulemark/doctor/1"
    return {check["item"]: check for checks in document.values() for check in checks}


def test_a_whole_machine_end_to_end(fake_machine, monkeypatch):
    monkeypatch.setenv("FAKECUDA_REVERSED", "1")
    status, found = fake_machine(GPUS=2, NAME="NVIDIA H100 80GB HBM3", PERSISTENCE=0,
                                 LIMIT_W=450, UPDATE_S=0.02)  # fmt: skip
    assert found["driver"]["text"] == "600.00, 2 GPUs"
    assert found["nvml library"]["status"] == "WARN"
    assert found["cuda"]["text"] == "the driver serves CUDA 13.0"
    assert found["uuid map"]["text"].startswith("CUDA 0 = gpu 1, CUDA 1 = gpu 0")
    assert found["device"]["text"].startswith("gpu 0, NVIDIA H100 80GB HBM3")
    assert found["joules"]["text"] == "by nvml-counter"
    assert found["gpu 1: persistence mode"]["cure"] == "sudo nvidia-smi -i 1 -pm 1"
    assert found["gpu 0: power limit"]["status"] == "OK"
    assert "ticks every" in found["gpu 0: energy counter"]["text"]
    failed = [item for item, check in found.items() if check["status"] == "FAIL"]
    assert status == (3 if failed else 0)


@pytest.mark.parametrize(
    ("init", "text"),
    [
        ("802", "cuInit failed with error 802: the system is not ready"),
        ("HANG", "the driver hangs in cuInit: no answer in 3 s"),
    ],
)
def test_a_cuda_that_refuses_or_hangs_leaves_the_rest_told(fake_machine, monkeypatch, init, text):
    monkeypatch.setattr("bench.meters.apart.PATIENCE_S", 3.0)
    status, found = fake_machine(init=init, UPDATE_S=0.02)
    assert status == 3
    assert found["cuda"]["status"] == "FAIL"
    assert found["cuda"]["text"].startswith(text)
    assert found["gpu 0: power reading"]["status"] == "OK"
    assert found["device"]["cure"] == found["cuda"]["cure"]


def test_cuda_tells_the_uuids_that_nvml_tells(seen, fakecuda, monkeypatch):
    nvml = seen(GPUS=2, UPDATE_S=0.01)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(fakecuda))
    cuda = cuda_facts(Apart("bench.meters.cuda_order").told(5.0), {})
    assert (cuda.found, cuda.version, cuda.code, cuda.trouble) == (True, (13, 0), None, None)
    assert cuda.uuids == tuple(card.device.uuid for card in nvml.cards)


def test_a_machine_without_cuda_says_so(monkeypatch, capsys):
    monkeypatch.setattr(cuda_order, "LIBRARY", "libcuda-of-no-machine.so.1")
    cuda_order.look(Teller())
    assert json.loads(capsys.readouterr().out) == {"found": False}
