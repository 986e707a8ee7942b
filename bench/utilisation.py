"""How near its device's limits a token workload ran: MFU, MBU and the roofline's share. Pure.

Work is counted per token from what the workload says it worked on (``details.work``), never from
what a kernel says it did; the limits are those that were measured (``details.roofs``) or a
datasheet's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench.records.decode import from_object
from bench.records.journal import JsonObject
from bench.roofline import WEIGHT_BYTES, Work, decode_work, prefill_work, weight_bytes

SHAPE = (
    "n_layers",
    "d_model",
    "n_heads",
    "n_kv_heads",
    "head_dim",
    "d_ffn",
    "vocab_size",
)


@dataclass(frozen=True, slots=True)
class TokenWork:
    """What one measured token stands for; ``model`` holds the fields of a model profile's config.

    ``batch`` rows decode together, each reading ``mean_context`` cached tokens of its own and
    ``padded_context`` slots in fact, its own token's included. A token carries the prefill of
    ``prompt`` / ``output`` prompt tokens where both are given; with ``prompt`` and no batch the
    token is a prompt's own. ``bytes_per_weight`` is null where it follows from ``precision``.
    """

    model: JsonObject
    precision: str
    bytes_per_kv: float
    batch: int | None = None
    mean_context: float | None = None
    padded_context: float | None = None
    prompt: int | None = None
    output: float | None = None
    bytes_per_weight: float | None = None

    def __post_init__(self) -> None:
        wrong = [key for key in SHAPE if not _positive(self.model.get(key))]
        if wrong:
            raise ValueError(f"work.model has no {', '.join(wrong)}")
        counts = (self.batch, self.prompt, self.output, self.bytes_per_weight, self.bytes_per_kv)
        if any(not _positive(each) for each in counts if each is not None):
            raise ValueError(f"work needs counts and sizes above 0, not {counts}")
        if self.bytes_per_weight is None and self.precision not in WEIGHT_BYTES:
            raise ValueError(
                f"work.bytes_per_weight is not told, and not known of {self.precision}"
            )
        if self.batch is None and self.prompt is None:
            raise ValueError("work has neither a batch that decodes nor a prompt")
        if self.batch is not None and (self.mean_context is None or self.mean_context < 0):
            raise ValueError("work.mean_context must be known for a batch that decodes")


@dataclass(frozen=True, slots=True)
class Peaks:
    """What a device can do at most: bytes/s read, FLOP/s at the precision of the products."""

    read_bytes_per_s: float
    flops: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Work behind one token: FLOPs, bytes that it needs, bytes that were moved for it."""

    flops: float
    useful_bytes: float
    moved_bytes: float


@dataclass(frozen=True, slots=True)
class Shares:
    """A rate as shares of a device's peaks; ``least_s`` a token is 1 of ``roofline_fraction``."""

    mfu: float
    mbu_useful: float
    mbu_moved: float
    roofline_fraction: float
    least_s: float


def work_of(details: Mapping[str, Any]) -> TokenWork | None:
    """The work that a workload's details tell of; null where they do not, ValueError if garbled."""
    told = details.get("work")
    return None if told is None else from_object(TokenWork, told)


def measured_peaks(details: Mapping[str, Any]) -> Peaks | None:
    """The roofs measured beside the workload; null where either was not."""
    roofs = details.get("roofs") or {}
    told = [roofs.get(key) for key in ("read_bytes_per_s", "gemm_flops")]
    known = [float(each) for each in told if isinstance(each, int | float) and each > 0]
    return Peaks(*known) if len(known) == len(told) else None


def cost(work: TokenWork) -> Cost:
    """FLOPs and bytes of one token."""
    useful, moved = parts(work), parts(work, padded=True)
    return Cost(
        flops=sum(part.flops / tokens for part, tokens in useful),
        useful_bytes=sum(part.bytes / tokens for part, tokens in useful),
        moved_bytes=sum(part.bytes / tokens for part, tokens in moved),
    )


def parts(work: TokenWork, *, padded: bool = False) -> list[tuple[Work, float]]:
    """The passes behind the tokens, each with the number of tokens it is shared by.

    ``padded`` counts slots instead of tokens, and no sliding window: what a loop that reads its
    cache up to a bucket's end has moved.
    """
    weight, kv = work.bytes_per_weight or weight_bytes(work.precision), work.bytes_per_kv
    found: list[tuple[Work, float]] = []
    if work.batch is not None and work.mean_context is not None:
        config, context = work.model, work.mean_context
        if padded and work.padded_context is not None:
            config = {**config, "sliding_window": None}
            context = max(0.0, work.padded_context - 1)
        step = decode_work(config, work.batch, context, bytes_per_weight=weight, bytes_per_kv=kv)
        found.append((step, work.batch))
    if work.prompt is not None:
        fill = prefill_work(work.model, work.prompt, bytes_per_weight=weight, bytes_per_kv=kv)
        found.append((fill, work.output or work.prompt))
    return found


def shares(work: TokenWork, tokens_per_s: float, peaks: Peaks) -> Shares:
    """MFU, MBU_useful, MBU_moved and the share of the roofline at which tokens came."""
    each = cost(work)
    least_s = sum(
        part.seconds(peaks.read_bytes_per_s, peaks.flops) / tokens for part, tokens in parts(work)
    )
    return Shares(
        mfu=tokens_per_s * each.flops / peaks.flops,
        mbu_useful=tokens_per_s * each.useful_bytes / peaks.read_bytes_per_s,
        mbu_moved=tokens_per_s * each.moved_bytes / peaks.read_bytes_per_s,
        roofline_fraction=tokens_per_s * least_s,
        least_s=least_s,
    )


def told(found: Shares, peaks: Peaks) -> JsonObject:
    """Peaks and shares as a record keeps them."""
    return {**asdict(peaks), **asdict(found)}


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
