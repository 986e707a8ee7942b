"""What is installed, out of the packages' own files: neither torch nor CuPy is imported for it."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
import sysconfig
from pathlib import Path

import bench
from bench.doctor.facts import SoftwareFacts
from bench.machine import installed
from bench.records.run import DeviceFacts
from bench.store import remembered_kernel

NAMES = (
    "numpy", "numba", "torch", "cupy-cuda12x", "cupy-cuda13x", "numba-cuda", "cuda-bindings",
    "nvidia-ml-py", "pynvml",
)  # fmt: skip
TORCH_CUDA = re.compile(r"^cuda\b[^=\n]*=\s*['\"]([\d.]+)['\"]", re.MULTILINE)
"""As torch/version.py, which the build writes, names the CUDA it was made with."""
INSTALLERS = ("apt-get", "dnf", "zypper", "pacman", "apk")


def software_facts(cpu: DeviceFacts) -> SoftwareFacts:
    """The packages, the hash kernels that ``cpu`` runs, and what torch needs to compile."""
    kernels, error = _kernels()
    root = _checkout()
    asked = os.environ.get("CXX", "g++")
    return SoftwareFacts(
        python=sys.executable,
        python_version=platform.python_version(),
        versions=installed(NAMES),
        torch_cuda=torch_cuda(),
        kernels=kernels,
        kernels_error=error,
        thriftiest=remembered_kernel(cpu.name),
        compiler=shutil.which(asked),
        compiler_asked=asked,
        headers=(Path(sysconfig.get_path("include")) / "Python.h").exists(),
        setup=None if root is None else set_up_anew(root),
        installer=next((name for name in INSTALLERS if shutil.which(name)), None),
    )


def torch_cuda() -> str | None:
    """The CUDA that the installed torch was built with; None without it and for a CPU build."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    return cuda_of(Path(spec.origin).with_name("version.py"))


def cuda_of(version_file: Path) -> str | None:
    """The CUDA that a torch/version.py names, None where it names none."""
    try:
        found = TORCH_CUDA.search(version_file.read_text(encoding="utf-8"))
    except OSError:
        return None
    return None if found is None else found[1]


def _kernels() -> tuple[tuple[str, ...], str | None]:
    """The CPU's hash kernels, best first; or why Numba, which compiles them, cannot be used."""
    try:
        from bench.kernels.sha256d.workload import variants

        return variants("numba-cpu"), None
    except Exception as error:
        return (), " ".join(f"{type(error).__name__}: {error}".split())


def set_up_anew(root: Path) -> str:
    """What mends the environment of a checkout: without its stamp it is never believed whole."""
    purpose = "dev" if (root / ".venv" / "setup.dev").exists() else "bench"
    stamps = f"{root}/.venv/setup.bench {root}/.venv/setup.dev"
    return f"rm -f {stamps} && {root}/.ci/setup {purpose}"


def _checkout() -> Path | None:
    """The checkout that this runs from, where its set-up script has made the environment."""
    root = Path(bench.__file__).resolve().parent.parent
    ours = Path(sys.prefix) == root / ".venv" and (root / ".venv" / "setup.log").exists()
    return root if ours and (root / ".ci" / "setup").exists() else None
