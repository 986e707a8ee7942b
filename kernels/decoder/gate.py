"""The gate: nothing is timed before the timed decoder agrees with the plain reference.

fp32 must equal it (G1). A 16-bit decoder is judged against fp32, and may be at most twice as
wrong as the reference itself run eagerly in 16 bits (G2). Caches and outputs are filled with NaN
first, so that whatever is read without having been written shows (G3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import reference
from .loops import Session
from .model import Decoder

Check = tuple[str, bool, str]

RAGGED = (5, 17, 40)  # prompt lengths of the ragged batch
GATE_STEPS = 256  # positions that G2 compares
EXACT_STEPS = 64  # positions that G1 compares
SHAPE_STEPS = 16  # positions compared in the shape that is timed
CLOSE = 1e-4  # absolute and relative, fp32 logits
SLACK = 2.0  # how much worse than eager 16-bit the fast path may be
GOLDEN_MARGIN = 1e-2


@dataclass(frozen=True, slots=True)
class Trace:
    """One row as decoded: its prompt, the n tokens after it, and the logits [n, V] behind them."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    logits: Tensor


@torch.inference_mode()
def decode(
    decoder: Decoder, prompts: Sequence[Sequence[int]], steps: int, session: Session | None = None
) -> list[Trace]:
    """Trace the first and last rows (all of up to three) over ``steps`` tokens, NaN all around.

    ``session`` is one that already holds the prompts; it is left rewound.
    """
    if session is None:
        session = Session(decoder, len(prompts), max(map(len, prompts)) + steps)
        session.prefill(prompts)
    else:
        session.clear()
    poison(session)
    count = len(prompts)
    rows = list(range(count)) if count <= 3 else [0, count - 1]
    seen = [session.logits[rows].clone()]
    for _ in range(steps - 1):
        session.logits.fill_(torch.nan)
        session.step()
        seen.append(session.logits[rows].clone())
    scores = torch.stack(seen, dim=1)
    traces = [
        Trace(tuple(prompts[row]), tuple(session.produced(row)), scores[index])
        for index, row in enumerate(rows)
    ]
    session.clear()
    return traces


def poison(session: Session) -> None:
    """Fill every slot that no token has been cached in with NaN."""
    slots = torch.arange(session.cache.capacity, device=session.decoder.device)
    unwritten = slots >= session.positions[:, None]
    session.cache.slots.masked_fill_(unwritten[None, None, :, None, :, None], torch.nan)


@torch.inference_mode()
def judge(decoder: Decoder, traces: Sequence[Trace], name: str) -> list[Check]:
    """Compare traces with the reference over the same tokens.

    Each token is the argmax after its own prefix, so by induction equality in one pass over the
    produced sequence is equality with the reference's own greedy decoding.
    """
    if not all(bool(trace.logits.isfinite().all()) for trace in traces):
        return [(f"{name}: finite", False, "logits hold NaN or infinity: an unwritten slot leaks")]
    exact = torch.cat([_reference(decoder, trace, torch.float32) for trace in traces])
    fast = torch.cat([trace.logits for trace in traces])
    tokens = torch.cat([torch.tensor(trace.tokens, device=fast.device) for trace in traces])
    if decoder.dtype == torch.float32:
        return _judge_exact(exact, fast, tokens, name)
    eager = torch.cat([_reference(decoder, trace, decoder.dtype) for trace in traces])
    return _judge_rounded(exact, fast, eager, tokens, name)


def _judge_exact(exact: Tensor, fast: Tensor, tokens: Tensor, name: str) -> list[Check]:
    wrong = int((exact.argmax(-1) != tokens).sum())
    close = torch.allclose(fast, exact, rtol=CLOSE, atol=CLOSE)
    worst = float((fast - exact).abs().max())
    return [
        (f"{name}: tokens", wrong == 0, f"{wrong} of {len(tokens)} differ from the reference"),
        (f"{name}: logits", close, f"largest error {worst:.2e}, allowed {CLOSE:.0e}"),
    ]


def _judge_rounded(
    exact: Tensor, fast: Tensor, eager: Tensor, tokens: Tensor, name: str
) -> list[Check]:
    error, allowed = float((fast - exact).abs().max()), SLACK * _error(exact, eager)
    divergence, divergence_allowed = _divergence(exact, fast), SLACK * _divergence(exact, eager)
    gaps = exact.max(-1).values - exact.gather(-1, tokens[:, None])[:, 0]
    wrong, outside = int((gaps > 0).sum()), int((gaps > 2 * allowed).sum())
    return [
        (
            f"{name}: logits",
            error <= allowed,
            f"largest error to fp32 {error:.3g}, allowed {allowed:.3g} (twice eager)",
        ),
        (
            f"{name}: divergence",
            divergence <= divergence_allowed,
            f"KL to fp32 {divergence:.3g} nats, allowed {divergence_allowed:.3g} (twice eager)",
        ),
        (
            f"{name}: tokens",
            outside == 0,
            f"{wrong} of {len(tokens)} are not fp32's choice, {outside} outside the margin",
        ),
    ]


def _reference(decoder: Decoder, trace: Trace, dtype: torch.dtype) -> Tensor:
    """Reference logits [n, V] at the places where a trace's tokens were chosen.

    In fp32 it computes what the weights stand for; in 16 bits its activations suffer what the
    decoder's do, so that a quantised rung is allowed its own rounding and no more.
    """
    sequence = torch.tensor([trace.prompt + trace.tokens[:-1]], device=decoder.device)
    return reference.logits(
        decoder.config,
        decoder.named_weights(),
        sequence,
        start=len(trace.prompt) - 1,
        dtype=dtype,
        rounded=reference.unrounded if dtype == torch.float32 else decoder.rounded,
    )[0]


def _error(exact: Tensor, other: Tensor) -> float:
    return float((other - exact).abs().max())


def _divergence(exact: Tensor, other: Tensor) -> float:
    """Mean KL(exact ‖ other) in nats."""
    p, q = exact.log_softmax(-1), other.log_softmax(-1)
    return float((p.exp() * (p - q)).sum(-1).mean())


def verify(session: Session, prompts: Sequence[Sequence[int]]) -> list[Check]:
    """Every check before timing, on the decoder and, for the timed shape, the very buffers.

    The session is left rewound, the slots beyond its prompts full of NaN, so that a leak during
    the timed run shows afterwards.
    """
    decoder = session.decoder
    longest = min(*session.lengths, decoder.config.max_context // 2, RAGGED[-1])
    steps = EXACT_STEPS if decoder.dtype == torch.float32 else GATE_STEPS
    steps = min(steps, decoder.config.max_context - longest)
    ragged = [
        list(prompts[index % len(prompts)][: max(1, longest * length // RAGGED[-1])])
        for index, length in enumerate(RAGGED)
    ]
    checks = judge(decoder, decode(decoder, ragged, steps), f"ragged batch of {len(ragged)}")
    shape_steps = min(SHAPE_STEPS, session.cache.capacity - max(session.lengths) + 1)
    batch = decode(decoder, prompts, shape_steps, session)
    poison(session)
    checks += judge(decoder, batch, f"timed batch of {len(prompts)}")
    alone = decode(decoder, prompts[:1], shape_steps)
    return [*checks, _same_alone(decoder, batch[0], alone[0])]


def _same_alone(decoder: Decoder, batched: Trace, alone: Trace) -> Check:
    """A row must not depend on its neighbours; rounding may, where kernels differ by shape."""
    same = 0
    while same < len(alone.tokens) and batched.tokens[same] == alone.tokens[same]:
        same += 1
    upto = min(same + 1, len(alone.tokens))
    mine, other = batched.logits[:upto], alone.logits[:upto]
    worst = float((mine - other).abs().max())
    if decoder.dtype == torch.float32:
        close = same == len(alone.tokens) and torch.allclose(mine, other, rtol=CLOSE, atol=CLOSE)
        allowed = CLOSE
    else:
        exact = _reference(decoder, alone, torch.float32)
        allowed = 2 * SLACK * _error(exact, _reference(decoder, alone, decoder.dtype))
        close = worst <= allowed
    return (
        "row alone = row in batch",
        close,
        f"{same} of {len(alone.tokens)} tokens equal, largest difference {worst:.2e}, "
        f"allowed {allowed:.2g}",
    )


def golden(decoder: Decoder, cases: Sequence[Mapping[str, Any]]) -> Check:
    """Shipped prompts must continue as recorded, each token leading by ``GOLDEN_MARGIN``.

    A case holds "prompt" and "continuation", bytes as Latin-1 text.
    """
    wrong, margin = 0, float("inf")
    for case in cases:
        expected = case["continuation"].encode("latin-1")
        trace = decode(decoder, [list(case["prompt"].encode("latin-1"))], len(expected))[0]
        wrong += bytes(trace.tokens) != expected
        best = trace.logits.topk(2, dim=-1).values
        margin = min(margin, float((best[:, 0] - best[:, 1]).min()))
    passed = wrong == 0 and margin > GOLDEN_MARGIN
    detail = f"{wrong} of {len(cases)} differ, smallest margin {margin:.3g}"
    return ("golden prompts", passed, detail)


def recheck(session: Session) -> list[Check]:
    """First and last row of a timed run, as it left them, against the reference."""
    checks = []
    for row in sorted({0, len(session.lengths) - 1}):
        start = session.lengths[row]
        tokens = [*session.history[row, :start].tolist(), *session.produced(row)]
        checks.append(retrace(session.decoder, tokens, start, f"row {row} after the run"))
    return checks


@torch.inference_mode()
def retrace(decoder: Decoder, tokens: Sequence[int], start: int, name: str) -> Check:
    """Whether the tokens from ``start`` on are the reference's choice after those before them.

    A token passes when the reference scores it within ``tolerance`` of its own choice: fp32
    rounding, or twice the gate's allowance measured on this very sequence.
    """
    prompt, output = tuple(tokens[:start]), tuple(tokens[start:])
    trace = Trace(prompt, output, torch.empty(0))
    exact = _reference(decoder, trace, torch.float32)
    tolerance = 2 * CLOSE * float(exact.abs().max())
    if decoder.dtype != torch.float32:
        eager = _reference(decoder, trace, decoder.dtype)
        tolerance = 2 * SLACK * _error(exact, eager)
    chosen = torch.tensor(output, device=exact.device)[:, None]
    worst = float((exact.max(-1).values - exact.gather(-1, chosen)[:, 0]).max())
    detail = f"{len(output)} tokens, worst {worst:.2g} below the reference's choice"
    return (name, worst <= tolerance, detail)
