"""Each fault of a machine gives its one item, its status and its cure. Well under a second."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.doctor import examine
from bench.doctor.facts import CardFacts, CudaFacts, NvmlFacts, PlaceFacts, RaplFacts
from bench.doctor.places import price_checks
from bench.records.decision import Aged

DOCS = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
SUDO_SMI = "sudo nvidia-smi -i 0"


def altered(facts, path, value):
    """The facts with what the dotted path names replaced; ``card`` and ``device`` are the GPU's."""
    first, _, rest = path.partition(".")
    if first == "card":
        card = altered(facts.nvml.cards[0], rest, value)
        return replace(facts, nvml=replace(facts.nvml, cards=(card,)))
    inner = altered(getattr(facts, first), rest, value) if rest else value
    return replace(facts, **{first: inner})


def found(facts):
    return {check.item: check for checks in examine(facts).values() for check in checks}


def ailing(facts):
    return {item: check for item, check in found(facts).items() if check.status != "OK"}


def without(facts, *names):
    kept = {k: v for k, v in facts.software.versions.items() if k not in names}
    return altered(facts, "software.versions", kept)


def with_versions(facts, **versions):
    known = {name.replace("_", "-"): version for name, version in versions.items()}
    return altered(facts, "software.versions", {**facts.software.versions, **known})


def test_a_healthy_machine_needs_nothing(healthy):
    assert not ailing(healthy)
    checks = found(healthy)
    assert len(checks) > 25
    assert checks["device"].text.startswith("gpu 0, NVIDIA H100 80GB HBM3")
    assert checks["joules"].text == "by nvml-counter"
    assert checks["uuid map"].text == "CUDA 0 = gpu 0"
    assert "of the GPU alone" in checks["gpu 0: power reading"].text
    drawn = found(altered(healthy, "card.graphics", (8, 9)))["gpu 0: other processes"]
    assert drawn.text == "none compute on it, 2 draw"
    module = found(altered(healthy, "card.sensor.scope", "module"))["gpu 0: power reading"]
    assert "of its module" in module.text
    assert "every 100 ms (median of 11 intervals)" in checks["gpu 0: energy counter"].text


CARDS = [
    ("card.device.profile", None, "identity", ("WARN", "no profile", "profiles/gpus")),
    ("card.device.uuid", None, "identity", ("FAIL", "no UUID", "update the driver")),
    ("card.device.persistence_mode", False, "persistence mode",
     ("WARN", "off", f"{SUDO_SMI} -pm 1")),
    ("card.device.power_limit_w", 450.0, "power limit", ("WARN", "450 W, the default is 700 W",
     f"{SUDO_SMI} -pl 700")),
    ("card.compute_mode", 2, "compute mode", ("FAIL", "prohibited", f"{SUDO_SMI} -c DEFAULT")),
    ("card.compute_mode", 3, "compute mode", ("FAIL", "exclusive", f"{SUDO_SMI} -c DEFAULT")),
    ("card.device.mig", True, "sharing", ("WARN", "MIG", f"{SUDO_SMI} -mig 0")),
    ("card.device.mps", True, "sharing", ("WARN", "MPS", "echo quit | nvidia-cuda-mps-control")),
    ("card.device.vgpu", True, "sharing", ("WARN", "virtual GPU", "passed through")),
    ("card.device.display", True, "display", ("WARN", "display", "multi-user.target")),
    ("card.pids", (7, 9), "other processes", ("WARN", "2 compute", "-p 7,9")),
    ("card.pids", None, "other processes", ("WARN", "PROCESS_UNKNOWN", "--pid=host")),
    ("card.calibrated_at", None, "calibration", ("WARN", "none", "bench calibrate --gpu 0")),
    ("card.sensor", None, "power reading", ("FAIL", "not read", "--assume-watts W")),
    ("card.sensor.error", "it is lost", "power reading",
     ("FAIL", "it is lost", "--assume-watts W")),
    ("card.sensor.ticks", 0, "energy counter", ("WARN", "did not move", "bench calibrate --gpu 0")),
    ("card.sensor.capabilities", ("power_w",), "energy counter",
     ("WARN", "none", "bench calibrate")),
    ("card.sensor.capabilities", ("energy_j",), "clocks", ("WARN", "cannot be read", "-d CLOCK")),
    ("card.sensor.capabilities", ("energy_j",), "throttle counters", ("WARN", "throttle_brake_s",
     "update the driver")),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "item", "said"), CARDS)
def test_a_fault_of_a_card(healthy, path, value, item, said):
    status, text, cure = said
    check = found(altered(healthy, path, value))[f"gpu 0: {item}"]
    assert check.status == status
    assert text in check.text
    assert cure in check.cure


MACHINE = [
    ("nvml.trouble", "the driver hangs in nvmlInit", "driver", ("FAIL", "nvmlInit", "reboot")),
    ("nvml.library", {"path": "/x", "version": "1", "standard_path": False, "fake": False},
     "nvml library", ("WARN", "/x, version 1: not where", "unset LD_LIBRARY_PATH")),
    ("nvml.library", {"path": "/x", "version": "1", "standard_path": False, "fake": True},
     "nvml library", ("WARN", "the tests' own", "unset LD_LIBRARY_PATH")),
    ("cuda.found", False, "cuda", ("FAIL", "libcuda.so.1", "CUDA library")),
    ("cuda.version", (11, 4), "cuda", ("FAIL", "CUDA 11.4", "driver to 525")),
    ("cuda.trouble", "the driver hangs in cuInit", "cuda", ("FAIL", "cuInit", "reboot")),
    ("cuda.code", 802, "cuda", ("FAIL", "error 802", "nvidia-fabricmanager")),
    ("cuda.code", 999, "cuda", ("FAIL", "error 999", "sudo modprobe nvidia-uvm")),
    ("cuda.uuids", (), "uuid map", ("FAIL", "does not show gpu 0", "dmesg")),
    ("host.rapl", RaplFacts("denied"), "rapl", ("WARN", "root alone", "sudo -E bench all")),
    ("host.rapl", RaplFacts("absent", "none"), "rapl", ("WARN", "none",
     "sudo modprobe intel_rapl_msr")),
    ("host.rapl", RaplFacts("broken", "it is odd"), "rapl", ("FAIL", "it is odd", "dmesg")),
    ("host.governors", ("performance", "powersave"), "cpu governor", ("WARN", "powersave",
     "sudo cpupower frequency-set -g performance")),
    ("host.load", 9.0, "other load", ("WARN", "9.0 tasks", "ps -eo")),
    ("host.quota_cores", 1.5, "cpu quota", ("WARN", "1.5 of 16", "--cpuset-cpus")),
    ("host.clock_source", "hpet", "clock source", ("WARN", "hpet", "echo tsc | sudo tee")),
    ("host.wsl", True, "surroundings", ("WARN", "WSL", "on the machine itself")),
    ("host.virtual", True, "surroundings", ("WARN", "a virtual machine", "on the machine itself")),
    ("software.kernels_error", "ImportError: NumPy", "numba", ("FAIL", "ImportError: NumPy",
     "/env/bin/python -m pip install --upgrade numba")),
    ("software.torch_cuda", None, "torch", ("FAIL", "built for CPUs",
     "/env/bin/python -m pip install 'joulemark[cuda13]' 'torch!=2.13.0'")),
    ("software.compiler", None, "c++ compiler", ("WARN", "g++", "install g++")),
    ("software.headers", False, "python headers", ("WARN", "Python.h", "headers of Python 3.12")),
    ("results", PlaceFacts("r", writable=False), "results folder",
     ("FAIL", "r cannot", "--out DIR")),
    ("results.free_bytes", 1 << 20, "results folder", ("FAIL", "0.0 GiB", "--out DIR")),
    ("cache.free_bytes", 1 << 28, "cache folder", ("WARN", "0.2 GiB", "XDG_CACHE_HOME=DIR")),
    ("cache.writable", False, "cache folder", ("FAIL", "cannot be written", "XDG_CACHE_HOME=DIR")),
    ("cache.noexec", True, "cache folder", ("FAIL", "noexec", "XDG_CACHE_HOME=DIR")),
    ("locks", None, "lock folder", ("WARN", "no folder", "JOULEMARK_LOCK_DIR=DIR")),
    ("locks.writable", False, "lock folder", ("FAIL", "/run/lock", "JOULEMARK_LOCK_DIR=DIR")),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "item", "said"), MACHINE)
def test_a_fault_of_the_machine(healthy, path, value, item, said):
    status, text, cure = said
    check = found(altered(healthy, path, value))[item]
    assert check.status == status
    assert text in check.text
    assert cure in check.cure


GENERAL = {
    "-i 0": "-i N",
    "--gpu 0": "--gpu N",
    "-pl 700": "-pl WATTS",
    "-p 7,9": "-p PIDS",
    "/env/bin/python": "python",
    "[cuda13]' 'torch!=2.13.0'": "[EXTRA]'",
    "of Python 3.12": "of this Python",
}


@pytest.mark.parametrize(("path", "value", "item", "said"), [*CARDS, *MACHINE])
def test_the_docs_tell_the_cure_of_each(path, value, item, said):  # noqa: ARG001 - as above
    (row,) = re.findall(rf"^\| `{re.escape(item)}` \| .*$", DOCS, re.MULTILINE)
    cure = said[2]
    for one, any_one in GENERAL.items():
        cure = cure.replace(one, any_one)
    shown = row if item != "cuda" else DOCS
    assert cure in shown.replace("`", "").replace("\\|", "|")


def test_every_item_that_is_not_well_has_a_cure(healthy):
    for path, value, *_ in [*CARDS, *MACHINE]:
        for check in found(altered(healthy, path, value)).values():
            assert (check.status == "OK") == (check.cure is None)


def test_one_fault_is_not_told_of_other_items(healthy):
    one = {f"gpu 0: {name}" for name in ("persistence mode",)}
    assert set(ailing(altered(healthy, "card.device.persistence_mode", False))) == one
    assert set(ailing(altered(healthy, "host.load", 9.0))) == {"other load"}


def no_gpu(facts):
    return replace(facts, nvml=NvmlFacts(refused="no library"), cuda=CudaFacts())


def test_without_a_gpu_it_says_what_the_machine_can_do(healthy):
    facts = altered(no_gpu(healthy), "host.rapl", RaplFacts("denied"))
    checks = found(facts)
    assert not any(check.status == "FAIL" for check in checks.values())
    assert checks["driver"].text == "no NVIDIA GPU on the PCI bus, and no driver is loaded"
    assert checks["device"].text.startswith("the processor, AMD EPYC 9654, 16 threads")
    assert checks["hash"].text.startswith("numba-cpu:avx512, the best known")
    assert checks["tokens"].text == "micro with torch 2.13.0, compiled"
    assert checks["joules"].status == "WARN"
    assert "--assume-watts W" in checks["joules"].cure
    assert "cupy" not in checks


@pytest.mark.parametrize("code", [None, 9, 12])
def test_a_library_without_a_driver_is_no_gpu(healthy, code):
    assert found(altered(no_gpu(healthy), "nvml.code", code))["driver"].status == "OK"


def test_a_gpu_that_the_bus_does_not_show_is_missed_all_the_same(healthy):
    for path, value in [("nvml.code", 18), ("nvml.trouble", "the driver hangs in nvmlInit")]:
        checks = found(altered(no_gpu(healthy), path, value))
        assert checks["driver"].status == "FAIL"
        assert checks["device"].cure == checks["driver"].cure


def test_what_measured_thriftiest_is_what_hashes(healthy):
    facts = altered(no_gpu(healthy), "software.thriftiest", "numba-cpu:avx2")
    assert found(facts)["hash"].text == "numba-cpu:avx2, the thriftiest measured here"


def test_a_driver_that_refuses_gives_its_own_words_and_the_cure(healthy):
    refused = "it refuses, or use --device cpu"
    nvml = NvmlFacts(bus=("0000:01:00.0",), module_loaded=True, refused=refused)
    broken = replace(healthy, cuda=CudaFacts(), nvml=nvml)
    checks = found(broken)
    assert (checks["driver"].status, checks["driver"].text) == ("FAIL", "it refuses")
    assert checks["device"].cure == checks["driver"].cure == "sudo reboot"
    unloaded = altered(broken, "nvml.module_loaded", False)
    assert found(unloaded)["driver"].cure.startswith("sudo modprobe nvidia")
    for code, cure in [(4, "usermod -aG"), (12, "libnvidia-ml.so.1"), (16, "--gpu-reset")]:
        assert cure in found(altered(broken, "nvml.code", code))["driver"].cure
    bare = found(without(broken, "nvidia-ml-py"))["driver"]
    assert bare.cure == "/env/bin/python -m pip install nvidia-ml-py"
    contained = found(altered(unloaded, "host.container", "docker"))["driver"]
    assert (contained.status, "--gpus all" in contained.cure) == ("WARN", True)
    differing = altered(altered(broken, "host.container", "docker"), "nvml.code", 18)
    assert found(differing)["driver"].cure == "sudo reboot"


def test_a_card_that_sleeps_is_left_asleep(healthy):
    asleep = NvmlFacts(bus=("0000:01:00.0",), asleep=("0000:01:00.0",), module_loaded=True)
    checks = found(replace(healthy, nvml=asleep, cuda=CudaFacts()))
    assert checks["driver"].cure == "nvidia-smi"
    assert "was not woken" in checks["driver"].text
    assert "the GPU sleeps" in checks["device"].text


def test_a_card_that_does_not_answer_takes_no_other_with_it(healthy):
    lost = CardFacts(1, error="the GPU has fallen off the bus")
    facts = altered(healthy, "nvml.cards", (*healthy.nvml.cards, lost))
    assert set(ailing(facts)) == {"gpu 1: identity", "uuid map"}
    assert found(facts)["gpu 1: identity"].text == "the GPU has fallen off the bus"
    assert found(facts)["device"].text.startswith("gpu 0")


def test_the_mask_is_named_where_it_hides(healthy):
    facts = replace(healthy, cuda=replace(healthy.cuda, uuids=(), code=100, call="cuInit",
                                          visible="-1"))  # fmt: skip
    checks = found(facts)
    assert checks["uuid map"].text == "CUDA_VISIBLE_DEVICES=-1 hides gpu 0"
    assert checks["uuid map"].cure == checks["device"].cure == "unset CUDA_VISIBLE_DEVICES"
    assert checks["cuda"].status == "OK"


def test_two_orders_are_shown_and_reconciled(healthy):
    (first,) = healthy.nvml.cards
    second = replace(first, index=1, device=replace(first.device, index=1, uuid="GPU-b"))
    facts = altered(healthy, "nvml.cards", (first, second))
    facts = altered(facts, "cuda.uuids", ("GPU-b", first.device.uuid))
    check = found(facts)["uuid map"]
    assert check.text.startswith("CUDA 0 = gpu 1, CUDA 1 = gpu 0")
    assert check.cure == "export CUDA_DEVICE_ORDER=PCI_BUS_ID"
    assert found(facts)["device"].text.startswith("gpu 0")
    masked = found(altered(facts, "cuda.visible", "1,0"))
    assert (masked["uuid map"].status, masked["device"].text[:5]) == ("OK", "gpu 1")
    assert (
        found(altered(facts, "cuda.uuids", (first.device.uuid, "GPU-b")))["uuid map"].cure is None
    )


def old_driver(facts, version=(12, 4)):
    return altered(altered(facts, "cuda.version", version), "nvml.cuda", version)


def test_packages_newer_than_the_driver_are_named_one_by_one(healthy):
    checks = ailing(old_driver(healthy))
    assert set(checks) == {"torch", "cupy", "numba-cuda"}
    assert all(check.status == "FAIL" for check in checks.values())
    assert all("CUDA 12.4 at most" in check.text for check in checks.values())
    assert all("joulemark[cuda12]" in check.cure for check in checks.values())
    assert "'cuda-bindings<13'" in checks["numba-cuda"].cure
    assert "uninstall -y cupy-cuda13x" in checks["cupy"].cure


def test_older_packages_run_on_a_newer_driver(healthy):
    facts = without(with_versions(healthy, cupy_cuda12x="13.6", cuda_bindings="12.9"),
                    "cupy-cuda13x")  # fmt: skip
    assert not ailing(altered(facts, "software.torch_cuda", "12.8"))


@pytest.mark.parametrize(
    ("capability", "built", "why"),
    [("7.0", "13.0", "CUDA 13 left out"), ("12.0", "12.6", "needs CUDA 12.8")],
)
def test_a_torch_that_was_not_built_for_the_card(healthy, capability, built, why):
    facts = altered(healthy, "card.device.compute_capability", capability)
    check = found(altered(facts, "software.torch_cuda", built))["torch"]
    assert check.status == "FAIL"
    assert why in check.text
    wanted = "cuda12" if capability == "7.0" else "cuda13"
    assert f"joulemark[{wanted}]" in check.cure


def test_what_is_missing_or_twice_among_the_packages(healthy):
    bare = found(without(healthy, "torch", "cupy-cuda13x", "numba-cuda", "nvidia-ml-py"))
    assert [bare[item].status for item in ("torch", "cupy", "numba-cuda", "pynvml")] == [
        "WARN", "WARN", "WARN", "FAIL"
    ]  # fmt: skip
    assert bare["hash"].status == bare["tokens"].status == "FAIL"
    assert bare["hash"].cure == bare["cupy"].cure
    both = found(with_versions(healthy, cupy_cuda12x="13.6", pynvml="11.5"))
    assert both["cupy"].status == "FAIL"
    assert "uninstall -y cupy-cuda12x cupy-cuda13x" in both["cupy"].cure
    assert both["pynvml"].status == "WARN"
    assert "uninstall -y pynvml" in both["pynvml"].cure


def test_a_checkout_is_cured_by_its_own_set_up(healthy):
    facts = altered(without(healthy, "torch"), "software.setup", "/x/.ci/setup bench")
    assert found(facts)["torch"].cure == "/x/.ci/setup bench"


def test_without_a_gpu_torch_is_the_build_for_cpus(healthy):
    cure = found(without(no_gpu(healthy), "torch"))["torch"].cure
    assert cure.startswith("/env/bin/python -m pip install torch --index-url")
    assert "https://download.pytorch.org/whl/cpu && " in cure
    assert cure.endswith("&& /env/bin/python -m pip install 'joulemark[infer]'")


def test_energy_counters_that_a_guest_does_not_see(healthy):
    facts = altered(healthy, "host.rapl", RaplFacts("absent", "none"))
    for path, value, cure in [
        ("host.virtual", True, "on the machine itself"),
        ("host.container", "docker", "outside the container"),
        ("host.architecture", "aarch64", "--assume-watts W"),
    ]:
        assert cure in found(altered(facts, path, value))["rapl"].cure


def test_stale_prices_are_counted_and_the_oldest_named():
    aged = [
        Aged("BTC", "2026-11-01", 22, 7, stale=True),
        Aged("rent", "2025-01-01", 690, 30, stale=True),
        Aged("difficulty", "2026-11-20", 3, 14, stale=False),
    ]
    (check,) = price_checks("default", aged)
    assert check.status == "WARN"
    assert check.text == "default: 2 of 3 are STALE; the oldest, rent, is 690 days old"
    (well,) = price_checks("default", aged[2:])
    assert (well.status, well.cure) == ("OK", None)
