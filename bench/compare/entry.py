"""A workload of a stored run, as what it says of its card to a comparison. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import shorten
from typing import Any

from bench.budget import GAIN, GAIN_U
from bench.records.market import GpuProfile
from bench.records.record import RunRecord
from bench.records.run import WorkloadRecord
from bench.validity.card import LIMIT_STEP_W
from bench.verdict.stack import model_of

TRUSTED = ("valid", "labelled")
LENGTHS = ("mix", "prompt", "output", "context")
"""What of a point's configuration says how long its requests are."""
SHOWN = 40
"""Characters of a device's name that are repeated."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One workload of one run; ``gpu`` is the card's profile, null without one."""

    file: str
    record: RunRecord
    workload: WorkloadRecord
    gpu: GpuProfile | None

    @property
    def card(self) -> tuple[str, int | None]:
        """What is one card here: a device at one power limit, to the watt."""
        device = self.record.device
        limit_w = device.power_limit_w
        return device.uuid or device.name, None if limit_w is None else round(limit_w)

    @property
    def table(self) -> tuple[str, str | None]:
        """Runs of the same table do the same kind of work: workload, and stack tier of tokens."""
        return self.workload.name, self.workload.tier

    @property
    def trusted(self) -> bool:
        """Whether the run is valid and has a rate."""
        status = self.record.validity.status
        return status in TRUSTED and self.workload.metrics.units_per_s is not None

    @property
    def ranked(self) -> bool:
        """Whether a table may rank it."""
        unranked = any(code.name == "UNRANKED" for code in self.record.validity.codes)
        return self.trusted and not unranked

    @property
    def model(self) -> str | None:
        """Whose tokens they are, by id where the model has one; null of hashes."""
        return model_of(self.record, self.workload) if self.workload.unit == "token" else None

    @property
    def lengths(self) -> list[Any]:
        """Of its requests."""
        return [self.workload.config.get(name) for name in LENGTHS]

    @property
    def point(self) -> tuple[Any, Any]:
        """Precision and batch."""
        return self.workload.config.get("precision"), self.workload.config.get("batch")

    @property
    def tpot_s(self) -> float | None:
        """p99 of the time per output token; null where none was measured."""
        found = self.workload.metrics.tpot_s
        p99 = None if found is None else found.get("p99")
        return float(p99) if isinstance(p99, int | float) else None

    @property
    def kl(self) -> float | None:
        """Mean KL(bf16 ‖ rung) in nats of a quantised rung; null where none was measured."""
        found = self.workload.config.get("rung")
        kl = found.get("kl_to_bf16") if isinstance(found, dict) else None
        return float(kl) if isinstance(kl, int | float) else None

    @property
    def rate(self) -> float:
        """Units a second; 0 below any that was measured."""
        rate = self.workload.metrics.units_per_s
        return 0.0 if rate is None else rate.mid

    @property
    def gain_u(self) -> float:
        """Relative standard uncertainty of its meter's gain: the user's calibration, or a
        board sensor's."""
        lines = (line.relative_u for line in self.workload.metrics.budget if line.name == GAIN)
        return next(lines, GAIN_U)

    @property
    def off_default(self) -> str | None:
        """How the power limit is not the card's own default; null where it is, or none is known."""
        now = self.record.device.power_limit_w
        default = self.record.device.power_limit_default_w
        if now is None or default is None or abs(now - default) <= LIMIT_STEP_W:
            return None
        return f"power limit {now:.0f} W, the card's default {default:.0f} W"

    @property
    def name(self) -> str:
        """The card by its device's name, with a power limit that is not its default."""
        name = shorten(self.record.device.name, SHOWN, placeholder="…") or "(no name)"
        limit_w = self.record.device.power_limit_w
        return name if self.off_default is None else f"{name} at {limit_w:.0f} W"
