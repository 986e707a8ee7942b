"""What every card is asked to serve: a model, a precision, a request mix and a bound. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bench.records.market import ModelConfig

PRECISIONS = ("fp32", "bf16", "fp8", "int8", "int4")


@dataclass(frozen=True, slots=True)
class Asked:
    """The operating point: each request brings ``prompt`` tokens and is given ``output`` new ones.

    ``batch`` rows run together on every card alike; where it is null each card runs the largest
    batch whose time per output token (p99) stays under ``tpot_s``. ``context`` is what a decode
    step reads of the cache on average, by itself prompt + output/2; ``kv_bytes`` a KV element's.
    """

    model: ModelConfig
    precision: str
    prompt: int
    output: int
    batch: int | None
    tpot_s: float | None
    context: float | None = None
    kv_bytes: float = 2.0

    def __post_init__(self) -> None:
        if (self.batch is None) == (self.tpot_s is None):
            raise ValueError("a point needs a batch or a bound on TPOT, and not both")

    @property
    def mean_context(self) -> float:
        """Cached tokens that a decode step reads for each row."""
        return self.prompt + self.output / 2 if self.context is None else self.context

    @property
    def held_tokens(self) -> float:
        """Tokens of KV that one row holds at its end: room for them must be there."""
        return self.mean_context + self.output / 2

    @property
    def text(self) -> str:
        """The point in words, for titles and notes."""
        mode = (
            f"batch {self.batch}"
            if self.tpot_s is None
            else f"largest batch under TPOT {self.tpot_s * 1e3:g} ms (p99)"
        )
        mix = f"{self.prompt}/{self.output} tokens in/out"
        known = "" if self.context is None else f", context {self.context:g}"
        return f"{self.model.name} {self.precision}, {mix}{known}, {mode}"
