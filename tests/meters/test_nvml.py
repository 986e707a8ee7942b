"""The GPUs and the sensor that the real nvidia-ml-py finds in the fake library."""

import json

import pytest

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
STRANGERS = """
    import json
    from bench.meters.nvml import strangers
    print(json.dumps(strangers("{uuid}")))
"""

UUID = [f"GPU-fa4e{index:04x}-0000-4000-8000-00000000{index:04x}" for index in range(3)]
FATAL = (8, 9, 12, 17, 18, 28)


def uuids(python, cases):
    return python(RESOLVED.format(cases=json.dumps(cases)))


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
