"""Driver, NVML and CUDA: whether they are there, belong together and count the same GPUs."""

from __future__ import annotations

from collections.abc import Iterator

from bench.doctor.facts import CudaFacts, Facts, NvmlFacts, Version
from bench.doctor.findings import fail, ok, warn
from bench.records.check import Check

OLDEST_CUDA = 12
"""The oldest CUDA that the extras are made for; its first driver is 525."""
KERNEL_LOG = "sudo dmesg | grep -iE 'nvrm|xid'"
CUDA_ERRORS = {
    34: (
        "a stub instead of the driver's library",
        "take the folder 'stubs' off LD_LIBRARY_PATH",
    ),
    100: ("no device", "unset CUDA_VISIBLE_DEVICES"),
    802: (
        "the system is not ready, as before NVSwitch is set up",
        "sudo systemctl start nvidia-fabricmanager",
    ),
    803: ("driver and library differ in version", "sudo reboot"),
    804: (
        "the compatibility package does not serve this card",
        "take the folder of cuda-compat off LD_LIBRARY_PATH",
    ),
    999: ("unknown, as without the module nvidia-uvm", "sudo modprobe nvidia-uvm"),
}
"""Meaning and cure of a CUresult of cuInit (names and numbers: cuda.h)."""
NO_DEVICE = 100
NOTHING_THERE = frozenset({None, 9, 12})
"""What NVML refuses with where there is no driver: not loaded, not installed, no binding for it."""
CLOSED = NOTHING_THERE | {4, 17}
"""What it refuses with in a container that was not given the GPUs of its host."""
NVML_CURES: dict[int | None, str] = {
    4: "sudo usermod -aG video,render $USER, then log in again",
    12: "install the rest of NVIDIA's driver, the library libnvidia-ml.so.1",
    16: "sudo nvidia-smi --gpu-reset",
}
"""What to do about an nvmlReturn_t of a driver that is loaded (nvml.h), if not reboot."""


def driver_checks(facts: Facts) -> Iterator[Check]:
    """The driver and its two libraries; of a machine without an NVIDIA GPU only that."""
    nvml = facts.nvml
    if nvml.asleep:
        yield _asleep(nvml)
        return
    if not expected(nvml):
        yield ok("driver", "no NVIDIA GPU on the PCI bus, and no driver is loaded")
        return
    yield _driver(facts)
    if nvml.refused or nvml.trouble:
        return
    yield _library(nvml)
    yield _cuda_version(facts)
    yield from _map(nvml, facts.cuda)


def expected(nvml: NvmlFacts) -> bool:
    """Whether anything speaks of an NVIDIA GPU; under WSL neither bus nor module does."""
    refused = nvml.refused is not None and nvml.code not in NOTHING_THERE
    hung = nvml.trouble is not None
    return bool(nvml.cards or nvml.bus) or nvml.module_loaded or refused or hung


def cuda_version(facts: Facts) -> Version | None:
    """The newest CUDA that the driver serves, by either library."""
    return facts.cuda.version or facts.nvml.cuda


def _asleep(nvml: NvmlFacts) -> Check:
    text = f"{', '.join(nvml.asleep)} sleeps (powered down), and was not woken to be looked at"
    return warn("driver", text, "nvidia-smi")


def _driver(facts: Facts) -> Check:
    nvml = facts.nvml
    if nvml.trouble:
        return fail("driver", nvml.trouble, f"{KERNEL_LOG}; then reboot")
    if nvml.refused:
        return _refused(nvml.refused.removesuffix(", or use --device cpu"), facts)
    if not nvml.cards:
        return fail("driver", f"driver {nvml.driver} sees no GPU", KERNEL_LOG)
    count = len(nvml.cards)
    return ok("driver", f"{nvml.driver}, {count} GPU{'s' if count > 1 else ''}")


def _refused(text: str, facts: Facts) -> Check:
    """A container may have been denied its host's GPUs on purpose."""
    if facts.host.container and facts.nvml.code in CLOSED:
        return warn("driver", text, "start the container with its GPUs: docker run --gpus all …")
    if "nvidia-ml-py" not in facts.software.versions:
        cure = f"{facts.software.python} -m pip install nvidia-ml-py"
    elif not facts.nvml.module_loaded:
        cure = "sudo modprobe nvidia, or install NVIDIA's driver where there is none"
    else:
        cure = NVML_CURES.get(facts.nvml.code, "sudo reboot")
    return fail("driver", text, cure)


def _library(nvml: NvmlFacts) -> Check:
    library = nvml.library or {}
    text = f"{library.get('path')}, version {library.get('version')}"
    if library.get("fake"):
        return warn("nvml library", f"{text}: the tests' own", "unset LD_LIBRARY_PATH")
    if not library.get("standard_path"):
        text += ": not where a driver installs it"
        return warn("nvml library", text, "unset LD_LIBRARY_PATH")
    return ok("nvml library", text)


def _cuda_version(facts: Facts) -> Check:
    cuda = facts.cuda
    if cuda.trouble:
        return fail("cuda", cuda.trouble, f"{KERNEL_LOG}; then reboot")
    if not cuda.found:
        text = "libcuda.so.1 cannot be loaded, though NVML can"
        cure = (
            "give the container NVIDIA_DRIVER_CAPABILITIES=compute,utility"
            if facts.host.container
            else "install all of NVIDIA's driver, its CUDA library too"
        )
        return fail("cuda", text, cure)
    if cuda.code is not None and not (cuda.code == NO_DEVICE and cuda.visible is not None):
        meaning, cure = CUDA_ERRORS.get(cuda.code, ("not a usual one", KERNEL_LOG))
        return fail("cuda", f"{cuda.call} failed with error {cuda.code}: {meaning}", cure)
    version = cuda_version(facts)
    if version is None:
        return warn("cuda", "the driver does not say which CUDA it serves", "nvidia-smi")
    text = f"the driver serves CUDA {version[0]}.{version[1]}"
    if version[0] < OLDEST_CUDA:
        return fail("cuda", text, "update the driver to 525 or newer, best 580 or newer")
    return ok("cuda", text)


def _map(nvml: NvmlFacts, cuda: CudaFacts) -> Iterator[Check]:
    """NVML's index of each GPU against CUDA's ordinal, by UUID."""
    if cuda.trouble or not cuda.found:
        return
    uuids = [None if card.device is None else card.device.uuid for card in nvml.cards]
    hidden = [card.title for card, uuid in zip(nvml.cards, uuids, strict=True)
              if uuid not in cuda.uuids]  # fmt: skip
    if any(card.device is not None and card.device.mig for card in nvml.cards):
        text = "cannot be told with MIG: CUDA shows parts of GPUs, under UUIDs of their own"
        yield warn("uuid map", text, "sudo nvidia-smi -mig 0")
        return
    if cuda.visible is not None and hidden:
        text = f"CUDA_VISIBLE_DEVICES={cuda.visible} hides {', '.join(hidden)}"
        yield warn("uuid map", text, "unset CUDA_VISIBLE_DEVICES")
        return
    if cuda.code is not None:
        return
    if hidden:
        text = f"CUDA does not show {', '.join(hidden)}, which NVML does"
        yield fail("uuid map", text, KERNEL_LOG)
        return
    indices = [uuids.index(uuid) for uuid in cuda.uuids if uuid in uuids]
    shown = ", ".join(f"CUDA {ordinal} = gpu {index}" for ordinal, index in enumerate(indices))
    if indices != sorted(indices) and cuda.visible is None:
        text = f"{shown}: numbers in CUDA_VISIBLE_DEVICES are not NVML's"
        yield warn("uuid map", text, "export CUDA_DEVICE_ORDER=PCI_BUS_ID")
    else:
        yield ok("uuid map", shown)
