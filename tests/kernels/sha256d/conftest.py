"""Shared by the SHA-256d tests: published vectors, an opened CPU scanner, the host-built kernel."""

from __future__ import annotations

import ctypes
import functools
import importlib.resources
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.kernels.sha256d.compression import message_blocks
from bench.kernels.sha256d.cuda_source import FACTORS, SOURCE, VARIANTS, launch_words
from bench.kernels.sha256d.numba_cpu import CpuScanner, variants
from bench.kernels.sha256d.scanner import complete, prepare_works

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
def open_cpu() -> Iterator[Callable[[str], CpuScanner]]:
    """Opens a CPU variant, compiled once for all tests."""
    opened: dict[str, CpuScanner] = {}

    def open_one(variant: str) -> CpuScanner:
        if variant not in opened:
            opened[variant] = CpuScanner(variant, threads=2)
        return opened[variant]

    yield open_one
    for scanner in opened.values():
        scanner.close()


@pytest.fixture(scope="session")
def cpu_scanner(open_cpu: Callable[[str], CpuScanner]) -> CpuScanner:
    return open_cpu(variants()[0])


class HostKernel:
    """``sha256d.cuh`` built by g++: its kernels, called with any launch shape."""

    def __init__(self, library: Path, midstates: int) -> None:
        self.library = ctypes.CDLL(str(library))
        self.midstates = midstates

    def launch_scan(
        self, shape: tuple[int, int], work: np.ndarray, by: np.ndarray, scalars: list[int],
        found: np.ndarray,
    ) -> None:  # fmt: skip
        first, count, mask, capacity = scalars
        assert found.dtype == np.uint32
        assert found.shape == (self.midstates, 1 + capacity)
        self.library.host_scan(
            *shape, _address(work), _address(by), first, count, ctypes.c_uint(mask),
            _address(found), capacity,
        )  # fmt: skip

    def launch_message(self, words: np.ndarray, digest: np.ndarray, by: np.ndarray) -> None:
        self.library.host_message(_address(words), len(words), _address(digest), _address(by))

    def scan(
        self, headers: list[bytes], first: int, count: int, mask: int, *, blocks: int, threads: int
    ) -> list[list[int]]:
        capacity = 1 << 14
        found = np.zeros((self.midstates, 1 + capacity), dtype=np.uint32)
        words = launch_words(tuple(prepare_works(headers)))
        self.launch_scan((blocks, threads), words, FACTORS, [first, count, mask, capacity], found)
        return [sorted(row[1 : 1 + complete(int(row[0]), capacity)].tolist()) for row in found]

    def digest(self, message: bytes) -> bytes:
        digest = np.zeros(8, dtype=np.uint32)
        self.launch_message(np.array(message_blocks(message), dtype=np.uint32), digest, FACTORS)
        return struct.pack(">8I", *digest.tolist())


def _address(values: np.ndarray) -> ctypes.c_void_p:
    return values.ctypes.data_as(ctypes.c_void_p)


@pytest.fixture(scope="session")
def build_kernel(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, str], HostKernel]:
    """Builds kernel source text as a variant for the host; skips where there is no g++."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("g++ is not installed: the .cuh cannot be built for the host")

    def build(source: str, variant: str) -> HostKernel:
        folder = tmp_path_factory.mktemp("host_kernel")
        kernel = folder / "kernel.cuh"
        kernel.write_text(source, encoding="utf-8")
        library = folder / "kernel.so"
        chosen = VARIANTS[variant]
        command = [compiler, "-std=c++17", "-O1", "-shared", "-fPIC", "-Wall", "-Werror"]
        command += ["-Wno-unknown-pragmas", f'-DKERNEL_SOURCE="{kernel}"']
        command += [option for option in chosen.options if option.startswith("-D")]
        subprocess.run([*command, "-o", library, HERE / "host_shim.cpp"], check=True)
        return HostKernel(library, chosen.midstates)

    return build


@pytest.fixture(scope="session")
def host_kernels(build_kernel: Callable[[str, str], HostKernel]) -> Callable[[str], HostKernel]:
    """A variant of the kernel built for the host, once."""
    return functools.cache(lambda variant: build_kernel(SOURCE.read_text("utf-8"), variant))
