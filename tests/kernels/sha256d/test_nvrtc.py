"""``sha256d.cuh`` through NVRTC for every architecture it offers: no card is needed to compile."""

from __future__ import annotations

import re

import pytest

from bench.kernels.sha256d.cupy_cuda import OPTIONS, SOURCE

nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed")


def _architectures() -> list[int]:
    try:
        status, found = nvrtc.nvrtcGetSupportedArchs()
    except RuntimeError:  # the bindings are here, the library is not
        return []
    return list(found) if status == nvrtc.nvrtcResult.NVRTC_SUCCESS else []


ARCHITECTURES = _architectures()
needs_nvrtc = pytest.mark.skipif(not ARCHITECTURES, reason="nvidia-cuda-nvrtc is not installed")


def _compile(architecture: int) -> tuple[bytes, str]:
    """The cubin and the compiler's log, with the options that CuPy is given."""
    source = SOURCE.read_bytes()
    _, program = nvrtc.nvrtcCreateProgram(source, SOURCE.name.encode(), 0, [], [])
    options = [f"-arch=sm_{architecture}", "--ptxas-options=--verbose", *OPTIONS]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), [o.encode() for o in options])
    _, length = nvrtc.nvrtcGetProgramLogSize(program)
    log = bytearray(length)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert status == nvrtc.nvrtcResult.NVRTC_SUCCESS, log.decode()
    _, length = nvrtc.nvrtcGetCUBINSize(program)
    cubin = bytearray(length)
    nvrtc.nvrtcGetCUBIN(program, cubin)
    nvrtc.nvrtcDestroyProgram(program)
    return bytes(cubin), log.decode()


@needs_nvrtc
def test_every_architecture_from_turing_to_blackwell_is_offered() -> None:
    assert {75, 80, 89, 90, 100, 120} <= set(ARCHITECTURES)


@needs_nvrtc
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_compiles_without_spills(architecture: int) -> None:
    cubin, log = _compile(architecture)
    assert cubin.startswith(b"\x7fELF")
    usage = log[log.index("'sha256d_scan'") :]
    spills = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes", usage)
    registers = re.search(r"Used (\d+) registers", usage)
    assert spills is not None
    assert spills.groups() == ("0", "0", "0")
    assert registers is not None
    assert int(registers[1]) <= 48
