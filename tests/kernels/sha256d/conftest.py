"""Shared by the SHA-256d tests: published vectors, an opened CPU scanner, the host-built kernel."""

from __future__ import annotations

import ctypes
import importlib.resources
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.kernels.sha256d.compression import message_blocks
from bench.kernels.sha256d.header import prepare_work
from bench.kernels.sha256d.scanner import complete

HERE = Path(__file__).parent


def _nist(name: str) -> list[tuple[bytes, str]]:
    vectors = importlib.resources.files("cryptography_vectors")
    text = (vectors / "hashes" / "SHA2" / name).read_text()
    fields = [line.split(" = ") for line in text.splitlines() if " = " in line]
    messages, bits = [], 0
    for key, value in fields:
        if key == "Len":
            bits = int(value)
        elif key == "Msg":
            messages.append(bytes.fromhex(value)[: bits // 8])
    digests = [value.strip() for key, value in fields if key == "MD"]
    return list(zip(messages, digests, strict=True))


@pytest.fixture(scope="session")
def nist_short() -> list[tuple[bytes, str]]:
    return _nist("SHA256ShortMsg.rsp")


@pytest.fixture(scope="session")
def nist_long() -> list[tuple[bytes, str]]:
    return _nist("SHA256LongMsg.rsp")


@pytest.fixture(scope="session")
def cpu_scanner() -> Iterator[object]:
    from bench.kernels.sha256d.numba_cpu import CpuScanner

    scanner = CpuScanner(threads=2)
    yield scanner
    scanner.close()


class HostKernel:
    """``sha256d.cuh`` built by g++: its kernels, called with any launch shape."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))

    def launch_scan(
        self, blocks: int, threads: int, work: bytes, scalars: list[int], found: np.ndarray
    ) -> None:
        first, count, mask, capacity = scalars
        assert found.dtype == np.uint32
        assert len(found) == 1 + capacity
        self._library.host_scan(
            blocks, threads, work, first, count, ctypes.c_uint(mask), found.ctypes.data_as(
                ctypes.c_void_p
            ), capacity,
        )  # fmt: skip

    def launch_message(self, words: np.ndarray, digest: np.ndarray) -> None:
        self._library.host_message(
            words.ctypes.data_as(ctypes.c_void_p),
            len(words),
            digest.ctypes.data_as(ctypes.c_void_p),
        )

    def scan(
        self, header: bytes, first: int, count: int, mask: int, *, blocks: int, threads: int
    ) -> list[int]:
        capacity = 1 << 14
        found = np.zeros(1 + capacity, dtype=np.uint32)
        work = struct.pack("19I", *prepare_work(header))
        self.launch_scan(blocks, threads, work, [first, count, mask, capacity], found)
        return sorted(found[1 : 1 + complete(int(found[0]), capacity)].tolist())

    def digest(self, message: bytes) -> bytes:
        digest = np.zeros(8, dtype=np.uint32)
        self.launch_message(np.array(message_blocks(message), dtype=np.uint32), digest)
        return struct.pack(">8I", *digest.tolist())


@pytest.fixture(scope="session")
def build_kernel(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], HostKernel]:
    """Builds kernel source text for the host; skips where there is no g++."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed: the .cuh cannot be built for the host")

    def build(source: str) -> HostKernel:
        folder = tmp_path_factory.mktemp("host_kernel")
        kernel = folder / "kernel.cuh"
        kernel.write_text(source, encoding="utf-8")
        library = folder / "kernel.so"
        command = [compiler, "-std=c++17", "-O1", "-shared", "-fPIC", "-Wall", "-Werror"]
        command += ["-Wno-unknown-pragmas", f'-DKERNEL_SOURCE="{kernel}"']
        subprocess.run([*command, "-o", library, HERE / "host_shim.cpp"], check=True)
        return HostKernel(library)

    return build


@pytest.fixture(scope="session")
def host_kernel(build_kernel: Callable[[str], HostKernel]) -> HostKernel:
    from bench.kernels.sha256d.cupy_cuda import SOURCE

    return build_kernel(SOURCE.read_text(encoding="utf-8"))
