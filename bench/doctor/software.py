"""What is installed, held against the driver and the cards: the right CUDA, kernels, compiler."""

from __future__ import annotations

from collections.abc import Iterator

from bench.doctor.driver import cuda_version
from bench.doctor.facts import Facts, SoftwareFacts, Version
from bench.doctor.findings import fail, ok, warn
from bench.records.check import Check

CUPYS = {"cupy-cuda12x": 12, "cupy-cuda13x": 13}
CUDA13_NEEDS = (7, 5)
"""CUDA 13 compiles for Turing and newer (its release notes: Maxwell, Pascal, Volta are gone)."""
BLACKWELL, BLACKWELL_NEEDS = (10, 0), (12, 8)
"""CUDA 12.8 is the first that compiles for Blackwell (its release notes)."""
CPU = "infer"
TORCH_FOR_CPUS = "--index-url https://download.pytorch.org/whl/cpu"
"""PyPI's own torch for Linux brings gigabytes of CUDA libraries along."""
HEADERS = {
    "apt-get": "sudo apt-get install python{version}-dev",
    "dnf": "sudo dnf install python{version}-devel",
    "zypper": "sudo zypper install python3-devel",
}
COMPILERS = {
    "apt-get": "sudo apt-get install g++",
    "dnf": "sudo dnf install gcc-c++",
    "zypper": "sudo zypper install gcc-c++",
    "pacman": "sudo pacman -S gcc",
    "apk": "sudo apk add g++",
}


def software_checks(facts: Facts) -> Iterator[Check]:
    """Every item of what is installed; what a GPU asks for only where there is one."""
    software = facts.software
    yield _numba(software)
    yield _torch(facts)
    yield _compiler(software)
    yield _headers(software)
    yield from _bindings(software)
    if facts.nvml.cards:
        yield _cupy(facts)
        yield _numba_cuda(facts)


def extra_for(facts: Facts) -> str:
    """The extra for the driver there is: CUDA 13 or 12, else that of a processor alone."""
    version = cuda_version(facts)
    if not facts.nvml.cards or version is None:
        return CPU
    modern = version[0] >= 13 and _capability(facts) >= CUDA13_NEEDS
    return "cuda13" if modern else "cuda12"


def _install(facts: Facts, *without: str) -> str:
    """What installs the extra for this driver; ``without`` are builds that pip must not keep."""
    software = facts.software
    if software.setup is not None:
        return software.setup
    pip, extra = f"{software.python} -m pip install", extra_for(facts)
    rest = "".join(f" '{each}'" for each in without)
    command = f"{pip} 'joulemark[{extra}]'{rest}"
    return command if extra != CPU else f"{pip} torch {TORCH_FOR_CPUS} && {command}"


def _numba(software: SoftwareFacts) -> Check:
    version = software.versions.get("numba")
    numpy = software.versions.get("numpy")
    text = f"numba {version}, numpy {numpy}, Python {software.python_version}"
    if software.kernels_error is not None:
        cure = f"{software.python} -m pip install --upgrade numba"
        return fail("numba", f"{text}: {software.kernels_error}", cure)
    return ok("numba", text)


def _torch(facts: Facts) -> Check:
    software, version = facts.software, cuda_version(facts)
    torch = software.versions.get("torch")
    if torch is None:
        return warn("torch", "not installed: no tokens, hashes only", _install(facts))
    built = None if software.torch_cuda is None else _version(software.torch_cuda)
    text = f"{torch}, built for {'CPUs' if built is None else f'CUDA {software.torch_cuda}'}"
    if not facts.nvml.cards or version is None:
        return ok("torch", text)
    why = _unfit(built, version, facts)
    if why is None:
        return ok("torch", text)
    return fail("torch", f"{text}: {why}", _install(facts, f"torch!={torch}"))


def _unfit(built: Version | None, driver: Version, facts: Facts) -> str | None:
    """Why a torch of this CUDA cannot use the cards under this driver."""
    if built is None:
        return "it cannot use the GPU"
    if built[0] > driver[0]:
        return f"the driver serves CUDA {driver[0]}.{driver[1]} at most"
    oldest, newest = _capability(facts), _capability(facts, newest=True)
    if built[0] >= 13 and oldest < CUDA13_NEEDS:
        return f"CUDA 13 left out cards of compute capability {oldest[0]}.{oldest[1]}"
    if newest >= BLACKWELL and built < BLACKWELL_NEEDS:
        return f"a card of compute capability {newest[0]}.{newest[1]} needs CUDA 12.8"
    return None


def _cupy(facts: Facts) -> Check:
    software, version = facts.software, cuda_version(facts)
    had = [name for name in CUPYS if name in software.versions]
    if not had:
        return warn("cupy", "not installed: numba-cuda hashes instead", _install(facts))
    if len(had) > 1:
        cure = f"{software.python} -m pip uninstall -y {' '.join(had)} && {_install(facts)}"
        return fail("cupy", f"{' and '.join(had)} overwrite each other", cure)
    text = f"{had[0]} {software.versions[had[0]]}"
    if version is not None and CUPYS[had[0]] > version[0]:
        text += f": the driver serves CUDA {version[0]}.{version[1]} at most"
        cure = f"{software.python} -m pip uninstall -y {had[0]} && {_install(facts)}"
        return fail("cupy", text, cure)
    return ok("cupy", text)


def _numba_cuda(facts: Facts) -> Check:
    software, version = facts.software, cuda_version(facts)
    had, bindings = software.versions.get("numba-cuda"), software.versions.get("cuda-bindings")
    if had is None:
        return warn("numba-cuda", "not installed: no second hash kernel", _install(facts))
    text = f"{had}, with cuda-bindings {bindings or 'not installed'}"
    if bindings is None:
        return warn("numba-cuda", text, _install(facts))
    if version is not None and _version(bindings)[0] > version[0]:
        text += f": the driver serves CUDA {version[0]}.{version[1]} at most"
        return fail("numba-cuda", text, _install(facts, f"cuda-bindings<{version[0] + 1}"))
    return ok("numba-cuda", text)


def _bindings(software: SoftwareFacts) -> Iterator[Check]:
    """NVML's module comes from nvidia-ml-py; another distribution bears the module's name."""
    ours, other = software.versions.get("nvidia-ml-py"), software.versions.get("pynvml")
    again = f"{software.python} -m pip install --force-reinstall --no-deps nvidia-ml-py"
    if other is not None:
        text = f"the distribution pynvml {other} is not NVIDIA's and may overwrite its module"
        yield warn("pynvml", text, f"{software.python} -m pip uninstall -y pynvml && {again}")
    elif ours is None:
        yield fail("pynvml", "nvidia-ml-py is not installed: no GPU can be read", again)
    else:
        yield ok("pynvml", f"from nvidia-ml-py {ours}")


def _compiler(software: SoftwareFacts) -> Check:
    if software.compiler is not None:
        return ok("c++ compiler", software.compiler)
    text = f"{software.compiler_asked} is not on the PATH: torch decodes uncompiled, and slower"
    asked = software.compiler_asked != "g++"
    cure = COMPILERS.get(software.installer or "", "install g++")
    return warn("c++ compiler", text, "unset CXX" if asked else cure)


def _headers(software: SoftwareFacts) -> Check:
    if software.headers:
        return ok("python headers", f"of Python {software.python_version}")
    version = ".".join(software.python_version.split(".")[:2])
    cure = HEADERS.get(software.installer or "", "install the headers of Python {version}")
    text = "Python.h is missing: torch cannot compile, and decodes slower"
    return warn("python headers", text, cure.format(version=version))


def _capability(facts: Facts, *, newest: bool = False) -> Version:
    """The least compute capability of the cards, or the greatest; a card of today if none tells."""
    told = [
        _version(card.device.compute_capability)
        for card in facts.nvml.cards
        if card.device is not None and card.device.compute_capability is not None
    ]
    return (max(told) if newest else min(told)) if told else CUDA13_NEEDS


def _version(text: str) -> Version:
    """Major and minor of a version in text; what is no number counts as 0."""
    parts = [int(part) if part.isdecimal() else 0 for part in text.split(".")[:2]]
    major, minor = (*parts, 0, 0)[:2]
    return major, minor
