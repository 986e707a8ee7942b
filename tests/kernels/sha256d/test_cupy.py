"""The CuPy launcher on a fake CuPy whose device is the g++-built kernel: argument for argument."""

from __future__ import annotations

import ctypes
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.kernels.sha256d import cupy_cuda
from bench.kernels.sha256d import header as h
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.scanner import FoundOverflowError, SlotScanner, scan
from bench.kernels.sha256d.verification import verify

UUID_BYTES = bytes([0x12, 0x00, *range(14)])  # with zero bytes inside, which end a C string
UUID = "GPU-12000001-0203-0405-0607-08090a0b0c0d"


class FakeStream:
    entered: list[FakeStream]

    def __init__(self, non_blocking: bool = False) -> None:
        assert non_blocking, "a blocking stream would wait for the other slot's work"

    def __enter__(self) -> None:
        FakeStream.entered.append(self)

    def __exit__(self, *_: object) -> None:
        FakeStream.entered.pop()


class FakeArray:
    """A device array: views share memory, only ``get`` brings it to the host."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.data = self

    def __getitem__(self, key: slice) -> FakeArray:
        return FakeArray(self.values[key])

    def memset_async(self, value: int, size: int, stream: FakeStream) -> None:
        assert FakeStream.entered[-1] is stream
        self.values.view(np.uint8)[:size] = value

    def get(self) -> np.ndarray:
        return self.values.copy()


@pytest.fixture
def cupy(host_kernel: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    FakeStream.entered = []

    def sha256d_scan(grid: tuple[int], block: tuple[int], args: tuple[Any, ...]) -> None:
        work, first, count, mask, found, capacity = args
        assert FakeStream.entered, "launched on the default stream"
        assert (work.size, work.nbytes) == (1, 4 * h.WORK_WORDS), "one struct, by value"
        scalars = [first, count, mask, capacity]
        assert {type(value) for value in scalars} == {np.uint32}
        plain = [int(value) for value in scalars]
        host_kernel.launch_scan(grid[0], block[0], work.tobytes(), plain, found.values)

    def sha256_message(grid: tuple[int], block: tuple[int], args: tuple[Any, ...]) -> None:
        words, block_count, digest = args
        assert (grid, block) == ((1,), (1,))
        assert (type(block_count), int(block_count)) == (np.uint32, len(words.values))
        host_kernel.launch_message(words.values, digest.values)

    class RawModule:
        def __init__(self, code: str, options: tuple[str, ...]) -> None:
            assert code == cupy_cuda.SOURCE.read_text(encoding="utf-8")
            assert options == cupy_cuda.OPTIONS

        def get_function(self, name: str) -> Any:
            return {"sha256d_scan": sha256d_scan, "sha256_message": sha256_message}[name]

    fake: Any = ModuleType("cupy")
    fake.RawModule = RawModule
    fake.zeros = lambda size, dtype: FakeArray(np.zeros(size, dtype))
    fake.asarray = FakeArray
    fake.cuda = SimpleNamespace(
        Device=lambda: SimpleNamespace(id=0),
        Stream=FakeStream,
        runtime=SimpleNamespace(getDeviceProperties=lambda _: {"multiProcessorCount": 2}),
    )
    monkeypatch.setitem(sys.modules, "cupy", fake)
    return fake


class FakeDriver:
    """cuDeviceGet and cuDeviceGetUuid_v2 of a driver with one device."""

    status = 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        device._obj.value = ordinal + 7
        return self.status

    def cuDeviceGetUuid_v2(self, raw: Any, device: ctypes.c_int) -> int:  # noqa: N802
        assert device.value == 7, "asked for another device"
        raw[:] = list(UUID_BYTES)
        return 0


@pytest.fixture
def scanner(cupy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> SlotScanner:
    assert sys.modules["cupy"] is cupy
    monkeypatch.setattr(ctypes, "CDLL", lambda _: FakeDriver())
    return cupy_cuda.open_scanner(capacity=4096)


def test_opens_what_fills_the_device(scanner: SlotScanner) -> None:
    assert scanner.config == {"blocks": 8, "threads_per_block": 256}
    assert scanner.granule == 2048
    assert scanner.device_uuid == UUID


def test_all_verification_passes(scanner: SlotScanner) -> None:
    for name, passed, detail in verify(scanner, seed=3, range_nonces=512, long_nonces=8192):
        assert passed, (name, detail)


def test_lists_are_exact_slot_after_slot(scanner: SlotScanner) -> None:
    for first in (0, 5000, h.NONCES - 3000):
        found = scan(scanner, REAL_HEADERS[4], first, 3000, 0xF)
        assert found == h.scan_reference(REAL_HEADERS[4], first, 3000, 0xF)


def test_overflow_is_an_error_and_frees_the_slot(scanner: SlotScanner) -> None:
    for _ in range(3):
        with pytest.raises(FoundOverflowError, match="4097 nonces"):
            scan(scanner, REAL_HEADERS[0], 0, 4097, 0)
    assert scan(scanner, REAL_HEADERS[0], 9, 4096, 0) == list(range(9, 9 + 4096))


@pytest.mark.usefixtures("cupy")
def test_a_driver_error_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeDriver, "status", 101)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: FakeDriver())
    with pytest.raises(OSError, match="cuDeviceGet failed with CUresult 101"):
        cupy_cuda.open_scanner()
