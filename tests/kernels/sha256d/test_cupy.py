"""The CuPy launcher on a fake CuPy whose device is the g++-built kernel: argument for argument."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.kernels import private_cache
from bench.kernels.sha256d import cupy_cuda
from bench.kernels.sha256d import header as h
from bench.kernels.sha256d.cuda_source import VARIANTS
from bench.kernels.sha256d.geometry import Geometry
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.scanner import FoundOverflowError, SlotScanner, prepare_works, scan
from bench.kernels.sha256d.toolchain import Binary
from bench.kernels.sha256d.verification import verify

UUID_BYTES = bytes([0x12, 0x00, *range(14)])  # with zero bytes inside, which end a C string
UUID = "GPU-12000001-0203-0405-0607-08090a0b0c0d"


class FakeStream:
    entered: list[FakeStream]

    def __init__(self, non_blocking: bool = False) -> None:
        assert non_blocking, "a blocking stream would wait for the other slot's work"

    def __enter__(self) -> FakeStream:
        FakeStream.entered.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        FakeStream.entered.pop()


class FakeEvent:
    """An event; ``waits`` notes each that the host waited for."""

    waits: list[FakeEvent]
    clock_ms = 0.0

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.slot = block and disable_timing
        self.stream: FakeStream | None = None

    def record(self, stream: FakeStream) -> None:
        assert FakeStream.entered[-1] is stream
        self.stream, self.at_ms = stream, FakeEvent.clock_ms

    def synchronize(self) -> None:
        assert self.stream is not None, "nothing was queued"
        FakeEvent.waits.append(self)


class FakeArray:
    """A device array: views share memory, only copies that are asked for reach the host."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.data = self

    def __iter__(self) -> Iterator[FakeArray]:
        return map(FakeArray, self.values)

    def __getitem__(self, key: slice) -> FakeArray:
        return FakeArray(self.values[key])

    def memset_async(self, value: int, size: int, stream: FakeStream) -> None:
        assert FakeStream.entered[-1] is stream
        self.values.view(np.uint8)[:size] = value

    def copy_to_host_async(self, address: int, size: int, stream: FakeStream) -> None:
        assert FakeStream.entered[-1] is stream
        assert size <= self.values.nbytes
        ctypes.memmove(address, self.values.ctypes.data, size)

    def get(self) -> np.ndarray:
        return self.values.copy()


class FakeModule:
    """What CuPy loads from a cubin: the host-built kernel of the variant it was compiled as."""

    def __init__(self, kernel: Any, launches: list[tuple[int, int]]) -> None:
        self._kernel = kernel
        self._launches = launches

    def get_function(self, name: str) -> Any:
        function = {"sha256d_scan": self._scan, "sha256_message": self._message}[name]
        return FakeFunction(function)

    def _scan(self, grid: tuple[int], block: tuple[int], args: tuple[Any, ...]) -> None:
        work, by, first, count, mask, found, capacity = args
        assert FakeStream.entered, "launched on the default stream"
        assert (work.size, by.size) == (1, 1), "structures, by value"
        assert work.nbytes == 4 * (21 * self._kernel.midstates + 8)
        scalars = [first, count, mask, capacity]
        assert {type(value) for value in scalars} == {np.uint32}
        self._launches.append((grid[0], block[0]))
        FakeEvent.clock_ms += int(count) / (1 if block[0] == 128 else 2)
        plain = [int(value) for value in scalars]
        if int(count) <= 1 << 16:  # a trial of the geometry is only timed
            self._kernel.launch_scan((grid[0], block[0]), work, by, plain, found.values)

    def _message(self, grid: tuple[int], block: tuple[int], args: tuple[Any, ...]) -> None:
        words, block_count, digest, by = args
        assert (grid, block) == ((1,), (1,))
        assert (type(block_count), int(block_count)) == (np.uint32, len(words.values))
        self._kernel.launch_message(words.values, digest.values, by)


class FakeFunction:
    num_regs = 47

    def __init__(self, call: Any) -> None:
        self._call = call

    def __call__(self, *args: Any) -> None:
        self._call(*args)


@pytest.fixture
def launches() -> list[tuple[int, int]]:
    return []


@pytest.fixture
def cupy(
    host_kernels: Any,
    launches: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> ModuleType:
    FakeStream.entered = []
    FakeEvent.waits = []
    monkeypatch.setattr(private_cache, "folder", lambda: tmp_path)

    def compiled(variant: str, capability: int) -> Binary:
        assert capability == 90
        return Binary("sm_90", "nvrtc", tmp_path / f"{variant}.cubin", "")

    monkeypatch.setattr(cupy_cuda, "compiled", compiled)
    fake: Any = ModuleType("cupy")
    fake.RawModule = lambda path: FakeModule(host_kernels(Path(path).stem), launches)
    fake.zeros = lambda size, dtype: FakeArray(np.zeros(size, dtype))
    fake.asarray = FakeArray
    fake.cuda = SimpleNamespace(
        Device=lambda: SimpleNamespace(id=0, compute_capability="90"),
        Stream=FakeStream,
        Event=FakeEvent,
        alloc_pinned_memory=bytearray,
        get_elapsed_time=lambda begun, ended: ended.at_ms - begun.at_ms,
        runtime=SimpleNamespace(
            getDeviceProperties=lambda _: {
                "multiProcessorCount": 2,
                "maxThreadsPerMultiProcessor": 2048,
                "regsPerMultiprocessor": 65536,
            }
        ),
    )
    monkeypatch.setitem(sys.modules, "cupy", fake)
    real = ctypes.CDLL
    monkeypatch.setattr(
        ctypes, "CDLL", lambda name: FakeDriver() if name == "libcuda.so.1" else real(name)
    )
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


@pytest.fixture(params=VARIANTS)
def scanner(cupy: ModuleType, request: pytest.FixtureRequest) -> SlotScanner:
    assert sys.modules["cupy"] is cupy
    return cupy_cuda.open_scanner(request.param, capacity=4096, geometry=Geometry(4, 256))


def test_opens_what_was_asked(scanner: SlotScanner) -> None:
    midstates = VARIANTS[scanner.config["variant"]].midstates
    assert scanner.config == {
        "variant": scanner.config["variant"],
        "midstates": midstates,
        "blocks": 8,
        "threads_per_block": 256,
    }
    assert (scanner.granule, scanner.midstates) == (2048, midstates)
    assert scanner.device_uuid == UUID


def test_all_verification_passes(scanner: SlotScanner) -> None:
    for name, passed, detail in verify(scanner, seed=3, range_nonces=512, long_nonces=8192):
        assert passed, (name, detail)


def test_lists_are_exact_slot_after_slot(scanner: SlotScanner) -> None:
    """Up to 255 nonces come back with the launch, 256 and more are fetched."""
    headers = h.siblings(REAL_HEADERS[4], scanner.midstates)
    for first, count, mask in [(0, 3000, 0xF), (5000, 255, 0), (0, 256, 0), (h.NONCES - 9, 9, 0)]:
        found = scan(scanner, headers, first, count, mask)
        assert found == [h.scan_reference(each, first, count, mask) for each in headers]


def test_overflow_is_an_error_and_frees_the_slot(scanner: SlotScanner) -> None:
    headers = h.siblings(REAL_HEADERS[0], scanner.midstates)
    for _ in range(3):
        with pytest.raises(FoundOverflowError, match="4097 nonces"):
            scan(scanner, headers, 0, 4097, 0)
    whole = list(range(9, 9 + 4096))
    assert scan(scanner, headers, 9, 4096, 0) == [whole] * scanner.midstates


def test_nothing_waits_between_two_launches(scanner: SlotScanner) -> None:
    """Two pieces are queued before the host waits, and it waits for its own slot's event alone."""
    works = prepare_works(h.siblings(REAL_HEADERS[4], scanner.midstates))
    FakeEvent.waits.clear()
    pieces = [scanner.submit(works, first, 100, 0xFFFFFFFF) for first in (0, 100)]
    assert FakeEvent.waits == []
    for piece in pieces:
        piece()
    first, second = FakeEvent.waits
    assert first is not second
    assert first.stream is not second.stream
    assert first.slot
    assert second.slot, "the host sleeps while it waits"


@pytest.mark.usefixtures("cupy")
def test_the_fastest_geometry_is_tried_once_and_remembered(
    launches: list[tuple[int, int]],
) -> None:
    for repeated in (False, True):
        launches.clear()
        scanner = cupy_cuda.open_scanner("plain", capacity=64)
        assert scanner.config["threads_per_block"] in {256, 512}, "128 threads take twice as long"
        assert len(launches) == 2 if repeated else len(launches) > 20
    assert scanner.config["blocks"] in {2 * blocks for blocks in (5, 4, 3, 2, 1)}


@pytest.mark.usefixtures("cupy")
def test_a_driver_error_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeDriver, "status", 101)
    with pytest.raises(OSError, match="cuDeviceGet failed with CUresult 101"):
        cupy_cuda.open_scanner()


def test_an_unknown_variant_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"^kernel: cupy has no variant 'fast', only two-midst"):
        cupy_cuda.require("fast")
