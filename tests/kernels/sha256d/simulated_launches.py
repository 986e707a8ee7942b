"""Runs under NUMBA_ENABLE_CUDASIM=1: the Numba CUDA launcher, its loops and its result buffer."""

import pytest

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
    assert scanner.granule == 32
    assert scanner.device_uuid == "GPU-00000000-0000-0000-0000-000000000000"
    shapes = [(0, 0, 0), (0, 33, 0), (h.NONCES - 70, 70, 0x3), (h.NONCES - 1, 1, 0), (7, 100, 0x7)]
    for first, count, mask in shapes:
        found = scan(scanner, RAW, first, count, mask)
        assert found == h.scan_reference(RAW, first, count, mask), (first, count, mask)
    assert scan(scanner, RAW, NONCE - 20, 41, 0xFFFFFFFF) == [NONCE]
    for message, digest in MESSAGES:
        assert scanner.digest(message).hex() == digest
    for _ in range(3):
        with pytest.raises(FoundOverflowError, match="65 nonces met the mask"):
            scan(scanner, RAW, 0, 65, 0)
    scanner.close()


if __name__ == "__main__":
    main()
    print("simulated launches are exact")
