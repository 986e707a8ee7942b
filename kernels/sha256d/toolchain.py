"""The CUDA compiler and its companions, found without a driver: NVRTC, ptxas, nvdisasm.

A tool that is missing is one error that names the package to install; what the binaries are worth
stops here.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import private_cache

PACKAGES = {
    "nvrtc": "nvidia-cuda-nvrtc==13.0.* cuda-bindings",
    "ptxas": "nvidia-cuda-nvcc==13.0.*",
    "nvdisasm": "nvidia-cuda-nvdisasm==13.2.*",
    "nvvm": "nvidia-nvvm==13.0.*",
    "numba-cuda": "numba-cuda",
}
"""Tool → the PyPI packages that hold it; instruction counts move with the compiler's version."""

_VERBOSE = "--ptxas-options=--verbose"


class ToolMissingError(RuntimeError):
    """A tool of the CUDA toolkit is not installed; the text says how to get it."""

    def __init__(self, tool: str) -> None:
        super().__init__(tool)  # a process hands an exception on by its arguments
        self.tool = tool

    def __str__(self) -> str:
        packages = " ".join(f"'{package}'" for package in PACKAGES[self.tool].split())
        return f"{self.tool} is not installed: pip install {packages}"


class CompileError(RuntimeError):
    """A tool of the toolkit refused or ended; the text is its log."""


@dataclass(frozen=True, slots=True)
class Binary:
    """A cubin for one architecture and what the assembler said of it."""

    architecture: str
    compiler: str
    cubin: Path
    log: str


# ---- NVRTC --------------------------------------------------------------------------------------


@functools.cache
def _nvrtc() -> Any:
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError) as error:  # no bindings, or no library behind them
        raise ToolMissingError("nvrtc") from error
    return nvrtc


@functools.cache
def nvrtc_version() -> str:
    """Such as "nvrtc 13.0"; ``ToolMissingError`` without it."""
    _, major, minor = _nvrtc().nvrtcVersion()
    return f"nvrtc {major}.{minor}"


@functools.cache
def architectures() -> tuple[int, ...]:
    """The compute capabilities that NVRTC compiles for, as 75 … 121."""
    nvrtc = _nvrtc()
    status, found = nvrtc.nvrtcGetSupportedArchs()
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise CompileError(f"nvrtcGetSupportedArchs: {status}")
    return tuple(found)


def architecture_for(capability: int) -> int:
    """What to compile for on a device: its own capability or the next lower of the same major.

    A cubin runs on later minor versions of its major. CompileError when there is none.
    """
    fit = [a for a in architectures() if a // 10 == capability // 10 and a <= capability]
    if not fit:
        raise CompileError(
            f"{nvrtc_version()} compiles for {', '.join(map(str, architectures()))}, "
            f"not for compute capability {capability // 10}.{capability % 10}"
        )
    return max(fit)


def compile_cuda(source: str, architecture: int, options: Sequence[str]) -> Binary:
    """CUDA C++ to a cubin by NVRTC, kept by source, options, compiler and architecture."""
    name, compiler = f"sm_{architecture}", nvrtc_version()
    every = (f"-arch={name}", _VERBOSE, *options)
    key = private_cache.digest(source, compiler, *every)
    names = f"{key}.cubin", f"{key}.log"
    cubin, log = private_cache.kept(names, lambda: _run_nvrtc(source, every))
    return Binary(name, compiler, cubin, log.read_text(encoding="utf-8"))


def _run_nvrtc(source: str, options: Sequence[str]) -> tuple[bytes, bytes]:
    """The cubin and the log."""
    nvrtc = _nvrtc()
    _, program = nvrtc.nvrtcCreateProgram(source.encode(), b"sha256d.cuh", 0, [], [])
    try:
        encoded = [option.encode() for option in options]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(encoded), encoded)
        _, size = nvrtc.nvrtcGetProgramLogSize(program)
        log = bytearray(size)
        nvrtc.nvrtcGetProgramLog(program, log)
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise CompileError(log.decode().strip("\0\n"))
        _, size = nvrtc.nvrtcGetCUBINSize(program)
        cubin = bytearray(size)
        nvrtc.nvrtcGetCUBIN(program, cubin)
    finally:
        nvrtc.nvrtcDestroyProgram(program)
    return bytes(cubin), bytes(log).strip(b"\0")


# ---- Programs -----------------------------------------------------------------------------------


@functools.cache
def program(tool: str) -> str:
    """The path of ptxas or nvdisasm: of the pip package, else of the PATH."""
    spec = importlib.util.find_spec("nvidia")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(place).glob(f"*/bin/{tool}"), reverse=True):
            return str(path)
    found = shutil.which(tool)
    if found is None:
        raise ToolMissingError(tool)
    return found


@functools.cache
def program_version(tool: str) -> str:
    """Such as "ptxas 13.0.88"."""
    version = re.search(r"\bV(\d+(\.\d+)+)", _run([program(tool), "--version"]).stdout)
    return f"{tool} {version[1] if version else 'of unknown version'}"


def assemble(ptx: str, architecture: int, options: Sequence[str]) -> Binary:
    """PTX to a cubin by ptxas."""
    name = f"sm_{architecture}"
    with tempfile.TemporaryDirectory(dir=private_cache.folder()) as folder:
        source, cubin = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(ptx, encoding="utf-8")
        command = [program("ptxas"), "--verbose", f"-arch={name}", *options]
        command += ["-o", str(cubin), str(source)]
        done = _run(command)
        key = private_cache.digest(ptx, program_version("ptxas"), name, *options)
        (kept,) = private_cache.kept([f"{key}.cubin"], lambda: [cubin.read_bytes()])
    return Binary(name, program_version("ptxas"), kept, done.stderr)


def disassemble(cubin: Path) -> str:
    """The machine code of every function of a cubin, as nvdisasm writes it."""
    return _run([program("nvdisasm"), "--print-code", "--no-dataflow", str(cubin)]).stdout


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """What the program said; CompileError when it cannot run or does not end well."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CompileError(f"{command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        said = done.stderr.strip() or f"ended with status {done.returncode}"
        raise CompileError(f"{command[0]}: {said}")
    return done
