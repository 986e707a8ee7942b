"""A machine with one H100 on which nothing is wrong."""

import pytest

from bench.doctor.facts import (
    CardFacts,
    CudaFacts,
    Facts,
    HostFacts,
    NvmlFacts,
    PlaceFacts,
    RaplFacts,
    SensorLook,
    SoftwareFacts,
)
from bench.records.run import DeviceFacts

UUID = "GPU-fa4e0000-0000-4000-8000-000000000000"
DEVICE = DeviceFacts(
    kind="gpu",
    name="NVIDIA H100 80GB HBM3",
    index=0,
    uuid=UUID,
    compute_capability="9.0",
    power_limit_w=700.0,
    power_limit_default_w=700.0,
    driver="580.65.06",
    vbios="96.00",
    persistence_mode=True,
    profile="h100",
    mig=False,
    mps=False,
    vgpu=False,
    display=False,
)
SENSOR = SensorLook(
    source="nvml-counter",
    scope="gpu",
    capabilities=(
        "energy_j", "power_instant_w", "throttle_power_s", "throttle_thermal_s",
        "throttle_brake_s", "sm_clock_hz",
    ),
    polled_s=1.2,
    ticks=12,
    tick_s=0.1,
)  # fmt: skip
CARD = CardFacts(
    index=0,
    device=DEVICE,
    compute_mode=0,
    pids=(),
    graphics=(),
    sensor=SENSOR,
    calibrated_at="2026-11-22T12:00:00Z",
)
NVML = NvmlFacts(
    bus=("0000:01:00.0",),
    module_loaded=True,
    driver="580.65.06",
    cuda=(13, 0),
    library={
        "path": "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.65.06",
        "version": "13.580.65.06",
        "standard_path": True,
        "fake": False,
    },
    cards=(CARD,),
)
SOFTWARE = SoftwareFacts(
    python="/env/bin/python",
    python_version="3.12.3",
    versions={
        "numpy": "2.4.0", "numba": "0.63.0", "torch": "2.13.0", "cupy-cuda13x": "14.0.1",
        "numba-cuda": "0.30.4", "cuda-bindings": "13.0.3", "nvidia-ml-py": "13.615.71",
    },
    torch_cuda="13.0",
    kernels=("avx512", "portable"),
    compiler="/usr/bin/g++",
)  # fmt: skip
HOST = HostFacts(
    name="AMD EPYC 9654",
    threads=16,
    rapl=RaplFacts("read", "RAPL, 1 package"),
    governors=("performance",),
    load=0.2,
    clock_source="tsc",
    clock_sources=("tsc", "hpet"),
)


@pytest.fixture
def healthy():
    return Facts(
        nvml=NVML,
        cuda=CudaFacts(found=True, version=(13, 0), uuids=(UUID,)),
        host=HOST,
        software=SOFTWARE,
        results=PlaceFacts("results", writable=True, free_bytes=40 << 30),
        cache=PlaceFacts("/cache/joulemark", writable=True, free_bytes=40 << 30),
        locks=PlaceFacts("/run/lock", writable=True, free_bytes=40 << 30),
    )
