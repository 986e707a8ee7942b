"""What the user asked for, checked before anything is opened or warmed."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.refusal import STORAGE, USAGE, Refusal
from bench.machine import legible
from bench.records.run import GradeName
from bench.report.own import is_own

if TYPE_CHECKING:
    from bench.simulate import Fault

MAX_WINDOW_S = 24 * 3600.0
MAX_SIMULATED_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What every command that measures is asked: device, meter, where results go."""

    gpu: int | None
    device: str | None
    meter: str
    assume_watts: float | None
    wait: bool
    seed: int
    out: Path
    json_out: str | None
    no_color: bool
    sim_faults: tuple[str, ...] = ()

    @property
    def instrument(self) -> str:
        """The instrument asked for, --assume-watts folded in."""
        return self.meter if self.assume_watts is None else f"assumed:{self.assume_watts:g}"

    @property
    def meter_spec(self) -> str:
        """The same as a record says it, whatever bytes a file's name holds."""
        return legible(self.instrument)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllRequest(Request):
    """The options of ``bench all`` as given."""

    grade: GradeName
    window_s: float | None
    model: str | None
    require_energy: bool
    dry_run: bool
    market: str
    sets: tuple[str, ...]
    asic: str | None
    strict: bool

    @property
    def hashes(self) -> bool:
        """Whether the hash side is measured."""
        return True

    @property
    def infers(self) -> bool:
        """Whether the token side is measured, at the device's default point."""
        return True


def check_all(request: AllRequest) -> None:
    """Refuse what cannot be meant, with the option's name."""
    check(request)
    simulated = request.device is not None and request.device != "cpu"
    longest_s = MAX_SIMULATED_S if simulated else MAX_WINDOW_S
    _positive("--window", request.window_s, longest_s, "seconds")


def check(request: Request) -> None:
    """As ``check_all``, for the options that all commands share."""
    if request.gpu is not None and request.device is not None:
        raise Refusal(USAGE, "--gpu and --device exclude each other: give one of them")
    if request.gpu is not None and request.gpu < 0:
        raise Refusal(USAGE, f"--gpu {request.gpu}: an NVML index is 0 or more")
    if request.device is not None and request.device != "cpu" and not _is_sim(request.device):
        raise Refusal(USAGE, f"--device {request.device}: use cpu or sim:NAME, such as sim:h100")
    faults_of(request)
    _positive("--assume-watts", request.assume_watts, 1e6, "watts")
    if request.assume_watts is not None and request.meter != "auto":
        raise Refusal(USAGE, "--assume-watts and --meter exclude each other: give one of them")
    if request.json_out not in (None, "-"):
        check_writable("--json", Path(request.json_out))
    if not 0 <= request.seed < 2**31:
        raise Refusal(USAGE, f"--seed {request.seed}: use a whole number from 0 to {2**31 - 1}")


def faults_of(request: Request) -> list[Fault]:
    """What is to go wrong on the simulated card."""
    from bench.simulate import parse_fault

    if request.sim_faults and not _is_sim(request.device or ""):
        text = f"--sim-fault {request.sim_faults[0]}: only a simulated card has faults at will;"
        raise Refusal(USAGE, f"{text} add --device sim:NAME, such as sim:h100")
    faults = []
    for given in request.sim_faults:
        try:
            faults.append(parse_fault(given))
        except ValueError as error:
            raise Refusal(USAGE, f"--sim-fault {given}: {error}") from error
    return faults


def check_writable(option: str, path: Path) -> None:
    """Refuse before the run what could not be written after it, or would cost a foreign file."""
    try:
        place = path if path.exists() else path.parent
        plain = path.is_file() or path.is_char_device() or not os.path.lexists(path)
        usable = plain and place.exists() and os.access(place, os.W_OK)
    except OSError:
        usable = False
    if not usable:
        raise Refusal(STORAGE, f"{option} {path}: cannot be written; name another file")
    try:
        own = is_own(option.removeprefix("--"), path)
    except OSError:
        own = False
    if not own:
        text = f"holds what {option} did not write; remove it, or name another file"
        raise Refusal(USAGE, f"{option} {legible(str(path))}: {text}")


def _is_sim(device: str) -> bool:
    return device.startswith("sim:") and len(device) > len("sim:")


def _positive(option: str, value: float | None, most: float, unit: str) -> None:
    if value is not None and not (math.isfinite(value) and 0 < value <= most):
        raise Refusal(USAGE, f"{option} {value:g}: use {unit} above 0, at most {most:g}")
