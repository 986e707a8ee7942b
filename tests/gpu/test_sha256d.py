"""SHA-256d on a CUDA device: known answers and exact nonce lists on both back ends, the UUID."""

from __future__ import annotations

import hashlib
import itertools
import re
import time
from collections.abc import Iterator

import pytest

from bench.kernels.sha256d import header as h
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.scanner import FoundOverflowError, scan
from bench.kernels.sha256d.workload import PIECE_S, Sha256dWorkload

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


@pytest.fixture(scope="module", params=["cupy", "numba-cuda"])
def workload(request: pytest.FixtureRequest) -> Iterator[Sha256dWorkload]:
    if reason := _device():
        pytest.skip(reason)
    made = Sha256dWorkload(device="cuda", kernel=request.param, window_s=1.0)
    try:
        made.prepare()
    except ImportError as error:
        pytest.skip(str(error))
    yield made
    made.close()


def test_known_answers_and_exact_lists(workload: Sha256dWorkload) -> None:
    for name, passed, detail in workload.verify():
        assert passed, (name, detail)


def test_full_mask_over_millions_of_nonces(workload: Sha256dWorkload) -> None:
    for raw in REAL_HEADERS:
        nonce = h.Header.parse(raw).nonce
        first = max(0, nonce - (1 << 25))
        found = scan(workload._opened(), raw, first, min(1 << 26, h.NONCES - first), 0xFFFFFFFF)
        assert nonce in found
        assert all(h.meets_mask(h.with_nonce(raw, n), 0xFFFFFFFF) for n in found)


def test_overflow_is_an_error(workload: Sha256dWorkload) -> None:
    with pytest.raises(FoundOverflowError):
        scan(workload._opened(), REAL_HEADERS[0], 0, 1 << 20, 0)


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
    launches = marks[-1] / workload.describe()["config"]["launch_nonces"]
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
