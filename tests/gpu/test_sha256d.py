"""SHA-256d on a CUDA device: every variant's answers, its rate against its ceiling, the UUID.

Also meant for ``compute-sanitizer --tool memcheck`` (and ``racecheck``, ``initcheck``) before
``python -m pytest tests/gpu/test_sha256d.py -k "answers or ranges or overflow"``.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from bench.kernels.sha256d import header as h
from bench.kernels.sha256d.audit import audit
from bench.kernels.sha256d.cuda_source import VARIANTS
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.scanner import FoundOverflowError, scan
from bench.kernels.sha256d.toolchain import ToolMissingError, architecture_for
from bench.kernels.sha256d.workload import PIECE_S, Sha256dWorkload
from bench.roofline import HashCounts, hash_ceiling

pytestmark = pytest.mark.gpu


def _device() -> str | None:
    """Why there is no CUDA device, or None."""
    import ctypes

    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver (libcuda.so.1)"
    count = ctypes.c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return "the NVIDIA driver does not start"
    return None if count.value else "no CUDA device"


KERNELS = [*(f"cupy:{variant}" for variant in VARIANTS), "numba-cuda:plain"]


@pytest.fixture(scope="module", params=KERNELS)
def workload(request: pytest.FixtureRequest) -> Iterator[Sha256dWorkload]:
    if reason := _device():
        pytest.skip(reason)
    made = Sha256dWorkload(device="cuda", kernel=request.param, window_s=1.0)
    try:
        made.prepare()
    except (ImportError, ToolMissingError) as error:
        pytest.skip(str(error))
    yield made
    made.close()


def test_known_answers_and_exact_lists(workload: Sha256dWorkload) -> None:
    for name, passed, detail in workload.verify():
        assert passed, (name, detail)


def test_full_mask_over_millions_of_nonces(workload: Sha256dWorkload) -> None:
    scanner = workload._opened()
    for raw in REAL_HEADERS:
        nonce = h.Header.parse(raw).nonce
        first = max(0, nonce - (1 << 25))
        headers = h.siblings(raw, scanner.midstates)
        found = scan(scanner, headers, first, min(1 << 26, h.NONCES - first), 0xFFFFFFFF)
        assert nonce in found[0]
        for header, nonces in zip(headers, found, strict=True):
            assert all(h.meets_mask(h.with_nonce(header, n), 0xFFFFFFFF) for n in nonces)


def test_random_headers_in_exact_ranges_of_every_size(workload: Sha256dWorkload) -> None:
    """Sizes around a warp, a block and the whole grid, at random places and at both ends."""
    scanner, rng = workload._opened(), random.Random(11)
    granule = scanner.granule
    sizes = [1, 31, 32, 33, 255, 256, 257, granule - 1, granule, granule + 1, 2 * granule + 7]
    for size in sizes:
        for first in (0, h.NONCES - size, rng.randrange(h.NONCES - size)):
            headers = h.siblings(rng.randbytes(76), scanner.midstates)
            mask = h.share_mask(0 if size < 1000 else 8)
            found = scan(scanner, headers, first, size, mask)
            assert found == [h.scan_reference(each, first, size, mask) for each in headers]


def test_the_audited_ceiling_predicts_the_rate(workload: Sha256dWorkload) -> None:
    """At the SM clock sampled while the kernel runs, and never above the ceiling but for noise."""
    pynvml = pytest.importorskip("pynvml")
    pynvml.nvmlInit()
    uuid = workload.describe()["device_uuid"]
    device = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    capability = 10 * pynvml.nvmlDeviceGetCudaComputeCapability(device)[0]
    capability += pynvml.nvmlDeviceGetCudaComputeCapability(device)[1]
    facts = workload.describe()
    target = (facts["backend"], facts["config"]["variant"], architecture_for(capability))
    marks, clocks, ends_s = [], [], time.monotonic() + 5

    def note(at_s: float, hashes: int) -> None:
        marks.append((at_s, hashes))
        clocks.append(1e6 * pynvml.nvmlDeviceGetClockInfo(device, pynvml.NVML_CLOCK_SM))

    workload.run(note, lambda: time.monotonic() > ends_s)
    (began_s, began), (ended_s, ended) = marks[len(marks) // 4], marks[-2]
    rate_hz = (ended - began) / (ended_s - began_s)
    cores = pynvml.nvmlDeviceGetNumGpuCores(device)
    per_sm = 64 if capability in {75, 80} else 128
    clock_hz = statistics.mean(clocks[len(clocks) // 4 :])
    counts = HashCounts(**asdict(audit(target).per_hash))
    limit_hz = hash_ceiling(counts, cores // per_sm, clock_hz)
    pynvml.nvmlShutdown()
    assert 0.94 * limit_hz <= rate_hz <= 1.01 * limit_hz, (rate_hz, limit_hz, clock_hz)


def test_overflow_is_an_error(workload: Sha256dWorkload) -> None:
    scanner = workload._opened()
    with pytest.raises(FoundOverflowError):
        scan(scanner, h.siblings(REAL_HEADERS[0], scanner.midstates), 0, 1 << 20, 0)


def test_padding_edges_on_the_device(workload: Sha256dWorkload) -> None:
    for length in (0, 1, 55, 56, 63, 64, 65, 1000):
        message = bytes(range(256)) * 4
        assert (
            workload._opened().digest(message[:length]) == hashlib.sha256(message[:length]).digest()
        )


def test_runs_pass_their_check(workload: Sha256dWorkload) -> None:
    for _ in range(2):
        calls = itertools.count()
        workload.run(lambda *_: None, lambda calls=calls: next(calls) >= 60)  # type: ignore[misc]
    shares = workload.facts()
    assert shares
    for name, passed, detail in workload.check():
        assert passed, (name, detail)


def test_a_launch_is_as_long_as_it_should_be(workload: Sha256dWorkload) -> None:
    """Compile time in the probe would make launches of microseconds."""
    seconds = _seconds_of_a_launch(workload)
    assert PIECE_S / 4 < seconds < 4 * PIECE_S


def _seconds_of_a_launch(workload: Sha256dWorkload) -> float:
    began_s, marks = time.monotonic(), []
    calls = itertools.count()
    workload.run(lambda _, units: marks.append(units), lambda: next(calls) >= 60)
    midstates = workload._opened().midstates
    launches = marks[-1] / midstates / workload.describe()["config"]["launch_nonces"]
    return (time.monotonic() - began_s) / launches


def test_the_uuid_is_the_drivers(workload: Sha256dWorkload) -> None:
    pynvml = pytest.importorskip("pynvml")
    uuid = workload.describe()["device_uuid"]
    assert re.fullmatch(r"GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid)
    pynvml.nvmlInit()
    count = pynvml.nvmlDeviceGetCount()
    known = {pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(count)}
    pynvml.nvmlShutdown()
    assert uuid in known
