"""Runs under NUMBA_ENABLE_CUDASIM=1: the Numba CUDA launcher, its loops and its result buffer."""

from typing import Any

import pytest
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

from bench.kernels.sha256d import header as h
from bench.kernels.sha256d import numba_cuda
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.scanner import FoundOverflowError, scan
from bench.kernels.sha256d.verification import MESSAGES

RAW = REAL_HEADERS[3]
NONCE = h.Header.parse(RAW).nonce


def main() -> None:
    assert numba_cuda.simulated
    numba_cuda.THREADS_PER_BLOCK = 16
    scanner = numba_cuda.open_scanner(capacity=64, blocks=2)
    assert (scanner.granule, scanner.midstates) == (32, 1)
    assert scanner.device_uuid == "GPU-00000000-0000-0000-0000-000000000000"
    shapes = [(0, 0, 0), (0, 33, 0), (h.NONCES - 70, 70, 0x3), (h.NONCES - 1, 1, 0), (7, 100, 0x7)]
    for first, count, mask in shapes:
        found = scan(scanner, [RAW], first, count, mask)
        assert found == [h.scan_reference(RAW, first, count, mask)], (first, count, mask)
    assert scan(scanner, [RAW], NONCE - 20, 41, 0xFFFFFFFF) == [[NONCE]]
    for message, digest in MESSAGES:
        assert scanner.digest(message).hex() == digest
    for _ in range(3):
        with pytest.raises(FoundOverflowError, match="65 nonces met the mask"):
            scan(scanner, [RAW], 0, 65, 0)
    scanner.close()


def no_read_waits_for_the_other_slot() -> None:
    """A copy on the default stream, 0, would: the slots' streams are blocking ones."""
    scanner = numba_cuda.open_scanner(capacity=64, blocks=2)
    pieces = [scanner.submit([h.prepare_work(RAW)], first, 33, 1) for first in (0, 33)]
    streams: list[Any] = []
    read: Any = FakeCUDAArray.copy_to_host

    def watched(array: Any, ary: Any = None, stream: Any = 0) -> Any:
        streams.append(stream)
        return read(array, ary, stream)

    setattr(FakeCUDAArray, "copy_to_host", watched)  # noqa: B010
    assert all(piece()[0] for piece in pieces)
    assert len(streams) == 4
    assert 0 not in streams
    assert len({id(stream) for stream in streams}) == 2


if __name__ == "__main__":
    main()
    no_read_waits_for_the_other_slot()
    print("simulated launches are exact")
