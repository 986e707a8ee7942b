"""What a simulated card does at a point that its profile does not state. Pure.

It keeps the shares of its rooflines that its stated loads have; its joules are idle power over
time and a price for each byte and each FLOP, fitted to the stated decode and prefill.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.predict.limits import compute_flops, most_rows
from bench.predict.point import Asked
from bench.predict.priors import TPOT_MARGIN
from bench.records.market import GpuProfile, ModelConfig
from bench.records.run import Truth
from bench.roofline import Work, decode_work, prefill_work, weight_bytes


@dataclass(frozen=True, slots=True)
class Stretch:
    """Seconds and joules of one stretch of a card's work."""

    seconds: float
    joules: float

    def truth(self, units: float) -> Truth:
        """The known answer where it gives so many units."""
        return Truth(self.joules / units, units / self.seconds)


@dataclass(frozen=True, slots=True)
class Serving:
    """A step of a steady mix, prefills included, and its phases: a decode step, one prefill."""

    step: Stretch
    decode: Stretch
    prefill: Stretch


@dataclass(frozen=True, slots=True)
class Scale:
    """Shares of the rooflines, and joules beyond idle for each byte and each FLOP."""

    gpu: GpuProfile
    model: ModelConfig
    idle_w: float
    decode_share: float
    prefill_share: float
    j_per_byte: float
    j_per_flop: float

    def decode(self, precision: str, batch: int, context: float) -> Stretch:
        """One decode step of ``batch`` rows."""
        return self._stretch(
            _decode(self.model, precision, batch, context), precision, self.decode_share
        )

    def prefill(self, precision: str, prompt: int) -> Stretch:
        """The prefill of one prompt."""
        return self._stretch(_prefill(self.model, precision, prompt), precision, self.prefill_share)

    def serve(self, asked: Asked, batch: int) -> Serving:
        """Every ``output`` steps bring ``batch`` prefills, which share the card."""
        step = self.decode(asked.precision, batch, asked.mean_context)
        fill = self.prefill(asked.precision, asked.prompt)
        fills = batch / asked.output
        seconds, joules = step.seconds + fills * fill.seconds, step.joules + fills * fill.joules
        return Serving(Stretch(seconds, joules), step, fill)

    def rows_under(self, asked: Asked) -> int:
        """The largest batch that fits and keeps TPOT p99 within ``asked.tpot_s``; 0 for none."""
        assert asked.tpot_s is not None, "a batch is looked for under a limit"
        low, high = 0, most_rows(self.gpu, asked)
        while low < high:
            middle = (low + high + 1) // 2
            if TPOT_MARGIN * self.serve(asked, middle).step.seconds <= asked.tpot_s:
                low = middle
            else:
                high = middle - 1
        return low

    def _stretch(self, work: Work, precision: str, share: float) -> Stretch:
        """No card draws more than its limit: what would is drawn out until it does not."""
        seconds = _roof_s(self.gpu, work, precision) / share
        own_j = self.j_per_byte * _bytes(work) + self.j_per_flop * _flops(work)
        seconds = max(seconds, own_j / (self.gpu.tdp_w.value - self.idle_w))
        return Stretch(seconds, self.idle_w * seconds + own_j)


def scale_of(gpu: GpuProfile, model: ModelConfig) -> Scale:
    """What the profile's own loads say; ``model`` is the one that they decode.

    ValueError for a card that states no prefill or whose watts no price of bytes and FLOPs gives.
    """
    assert gpu.simulation is not None, "only a simulated card is scaled"
    idle_w, loads = gpu.simulation.idle_w.value, gpu.simulation.loads
    if "prefill" not in loads:
        raise ValueError(f"the profile {gpu.name} states no simulation.prefill")
    decode, prefill = loads["decode"], loads["prefill"]
    precision = as_computed(str(decode.config["precision"]))
    step = _decode(model, precision, decode.config["batch"], decode.config["context"])
    fill = _prefill(model, precision, prefill.config["prompt"])
    step_s = decode.config["batch"] / decode.units_per_s.value
    fill_s = prefill.config["prompt"] / prefill.units_per_s.value
    per_byte, per_flop = _prices(
        (step, (decode.watts.value - idle_w) * step_s),
        (fill, (prefill.watts.value - idle_w) * fill_s),
    )
    return Scale(
        gpu,
        model,
        idle_w,
        _roof_s(gpu, step, precision) / step_s,
        _roof_s(gpu, fill, precision) / fill_s,
        per_byte,
        per_flop,
    )


def as_computed(precision: str) -> str:
    """fp16 weighs and computes like bf16."""
    return "bf16" if precision == "fp16" else precision


def _decode(model: ModelConfig, precision: str, batch: int, context: float) -> Work:
    return decode_work(
        model.config,
        batch,
        context,
        bytes_per_weight=weight_bytes(precision),
        bytes_per_kv=kv_element_bytes(precision),
    )


def _prefill(model: ModelConfig, precision: str, prompt: int) -> Work:
    return prefill_work(
        model.config,
        prompt,
        bytes_per_weight=weight_bytes(precision),
        bytes_per_kv=kv_element_bytes(precision),
    )


def kv_element_bytes(precision: str) -> float:
    """Keys and values stay 16-bit under every precision of weights but fp32."""
    return 4.0 if precision == "fp32" else 2.0


def _roof_s(gpu: GpuProfile, work: Work, precision: str) -> float:
    flops = compute_flops(gpu, precision)
    if flops is None:
        raise ValueError(f"{gpu.name} has no {precision} arithmetic")
    return work.seconds(gpu.bandwidth_bytes_per_s.value, flops)


def _prices(first: tuple[Work, float], second: tuple[Work, float]) -> tuple[float, float]:
    """Joules a byte and a FLOP that give both stretches their joules (two linear equations)."""
    (a, a_j), (b, b_j) = first, second
    determinant = _bytes(a) * _flops(b) - _bytes(b) * _flops(a)
    per_byte = (a_j * _flops(b) - b_j * _flops(a)) / determinant
    per_flop = (_bytes(a) * b_j - _bytes(b) * a_j) / determinant
    if min(per_byte, per_flop) < 0:
        raise ValueError("the watts of simulation.decode and .prefill do not fit each other")
    return per_byte, per_flop


def _bytes(work: Work) -> float:
    return work.weights_bytes + work.attention_bytes


def _flops(work: Work) -> float:
    return work.weights_flops + work.attention_flops
