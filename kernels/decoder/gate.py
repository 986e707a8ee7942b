"""The gate: nothing is timed before the timed decoder agrees with the plain reference.

fp32 must equal it (G1). A 16-bit decoder is judged against fp32, and may be at most twice as
wrong as the reference itself run eagerly in 16 bits (G2). Caches and outputs are filled with NaN
first, so that whatever is read without having been written shows; rows and refills must not touch
each other (G3). What a timed run leaves behind is looked at once more (G4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
LEAST_KL = 1e-6  # nats: below it a divergence is the rounding of its own fp32 sum
SLACK = 2.0  # how much worse than eager 16-bit the fast path may be
ROUNDINGS = 8  # ways in which a mixture's reference is rounded: each settles other near ties
GOLDEN_MARGIN = 1e-2


@dataclass(frozen=True, slots=True)
class Trace:
    """One row as decoded: its prompt, the n tokens after it, and the logits [n, V] behind them.

    ``picked`` are the decoder's own choices where other tokens were fed instead. ``clean`` says
    that the logits of every row of the batch, traced or not, were finite at every step.
    """

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    logits: Tensor
    picked: tuple[int, ...] = ()
    clean: bool = True


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
    traces = trace(session, prompts, steps)
    session.clear()
    return traces


@torch.inference_mode()
def trace(
    session: Session,
    prompts: Sequence[Sequence[int]],
    steps: int,
    forced: Sequence[Sequence[int]] | None = None,
) -> list[Trace]:
    """Decode ``steps`` tokens of rows at the end of their prompts, NaN all around.

    ``forced`` holds tokens to feed each row instead of its own choices, as far as they go.
    """
    poison(session)
    count, device = len(prompts), session.decoder.device
    rows = list(range(count)) if count <= 3 else [0, count - 1]
    given = torch.full((count, steps), -1, device=device)
    for row, tokens in enumerate(forced or ()):
        part = torch.tensor(tokens[:steps], dtype=torch.int64, device=device)
        given[row, : len(part)] = part
    seen, picked, fed, clean = [], [], [], session.logits.isfinite().all()
    for index in range(steps):
        if index > 0:
            session.logits.fill_(torch.nan)
            session.step()
            clean &= session.logits.isfinite().all()
        seen.append(session.logits[rows].clone())
        picked.append(session.tokens[rows].clone())
        session.tokens.copy_(torch.where(given[:, index] < 0, session.tokens, given[:, index]))
        fed.append(session.tokens[rows].clone())
    scores, chosen, taken = (torch.stack(each, dim=1) for each in (seen, picked, fed))
    return [
        Trace(
            prompt=tuple(prompts[row]),
            tokens=tuple(taken[index].tolist()),
            logits=scores[index],
            picked=tuple(chosen[index].tolist()),
            clean=bool(clean),
        )
        for index, row in enumerate(rows)
    ]


@torch.inference_mode()
def poison(session: Session) -> None:
    """Fill every slot that no token has been cached in with NaN."""
    session.cache.fill_beyond(session.positions, torch.nan)


@torch.inference_mode()
def judge(decoder: Decoder, traces: Sequence[Trace], name: str) -> list[Check]:
    """Compare traces with the reference over the same tokens.

    Each token is the argmax after its own prefix, so by induction equality in one pass over the
    produced sequence is equality with the reference's own greedy decoding.
    """
    if not all(each.clean and bool(each.logits.isfinite().all()) for each in traces):
        return [(f"{name}: finite", False, "logits hold NaN or infinity: an unwritten slot leaks")]
    wide = [_exact(decoder, each, _before(decoder)) for each in traces]
    ends = zip(wide, traces, strict=True)
    exact = torch.cat([row[-len(each.tokens) :] for row, each in ends])
    fast = torch.cat([each.logits for each in traces])
    chosen = [torch.tensor(each.picked or each.tokens, device=fast.device) for each in traces]
    tokens = torch.cat(chosen)
    if decoder.dtype == torch.float32:
        return _judge_exact(exact, fast, tokens, name)
    rounded = [_rounding(decoder, each, row) for each, row in zip(traces, wide, strict=True)]
    return _judge_rounded(exact, fast, tokens, torch.cat(rounded, dim=1), name)


def _judge_exact(exact: Tensor, fast: Tensor, tokens: Tensor, name: str) -> list[Check]:
    wrong = int((exact.argmax(-1) != tokens).sum())
    close = torch.allclose(fast, exact, rtol=CLOSE, atol=CLOSE)
    worst = float((fast - exact).abs().max())
    return [
        (f"{name}: tokens", wrong == 0, f"{wrong} of {len(tokens)} differ from the reference"),
        (f"{name}: logits", close, f"largest error {worst:.2e}, allowed {CLOSE:.0e}"),
    ]


def _judge_rounded(
    exact: Tensor, fast: Tensor, tokens: Tensor, rounding: Tensor, name: str
) -> list[Check]:
    """``rounding`` [2, at least n] is what 16 bits cost the reference; see ``_rounding``."""
    errors, divergences = _apart(exact, fast)
    error, divergence = float(errors.max()), float(divergences.mean())
    allowed = SLACK * float(rounding[0].max())
    stretches = rounding[1].unfold(0, len(fast), 1).mean(-1)
    divergence_allowed = max(SLACK * float(stretches.max()), LEAST_KL)
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


def _before(decoder: Decoder) -> int:
    """How many positions before the compared ones tell as well what rounding costs: a mixture's
    errors come in leaps (see ``_rounding``), and a short trace may hold none.
    """
    return 0 if decoder.config.n_experts is None else GATE_STEPS


def _rounding(decoder: Decoder, row: Trace, exact: Tensor) -> Tensor:
    """Largest error of the logits and KL in nats, [2, n], by which the eager 16-bit reference
    misses the ``exact`` logits [n, V] at the last n places of a trace.

    A mixture's errors come in leaps: where two experts score alike, rounding chooses. Which way is
    chance, so its reference is rounded in ``ROUNDINGS`` ways, every activation moved by up to a
    unit in its last place, and a position is allowed the worst of them.
    """
    before, ways = len(exact) - len(row.tokens), [decoder.rounded]
    if decoder.config.n_experts is not None:
        generator = torch.Generator(decoder.device).manual_seed(len(exact))
        ways = [partial(_dithered, decoder.rounded, generator)] * ROUNDINGS
    found = [
        _apart(exact, _logits(decoder, row, before, dtype=decoder.dtype, rounded=way))
        for way in ways
    ]
    return torch.stack(found).amax(0)


def _apart(exact: Tensor, other: Tensor) -> Tensor:
    """Largest error of the logits and KL(exact ‖ other) in nats, [2, n] of [n, V]."""
    p, q = exact.log_softmax(-1), other.log_softmax(-1)
    divergences = (p.exp() * (p - q)).sum(-1)
    return torch.stack([(other - exact).abs().amax(-1), divergences])


def _dithered(rounded: reference.Rounded, generator: torch.Generator, x: Tensor) -> Tensor:
    noise = 2.0 * torch.rand(x.shape, generator=generator, device=x.device) - 1.0
    return rounded((x.float() * (1.0 + torch.finfo(x.dtype).eps * noise)).to(x.dtype))


def _exact(decoder: Decoder, row: Trace, before: int = 0) -> Tensor:
    """fp32 logits [before + n, V] of what the weights stand for, at the places where a trace's
    tokens were chosen, and at up to ``before`` places ahead of them.
    """
    return _logits(decoder, row, before, dtype=torch.float32, rounded=reference.unrounded)


def _logits(
    decoder: Decoder, row: Trace, before: int, *, dtype: torch.dtype, rounded: reference.Rounded
) -> Tensor:
    """The reference's logits [before + n, V]; in 16 bits its activations suffer what the decoder's
    do, so that a quantised rung is allowed its own rounding and no more.
    """
    sequence = torch.tensor([row.prompt + row.tokens[:-1]], device=decoder.device)
    return reference.logits(
        decoder.config,
        decoder.named_weights(),
        sequence,
        start=max(0, len(row.prompt) - 1 - before),
        dtype=dtype,
        rounded=rounded,
    )[0]


def verify(session: Session, prompts: Sequence[Sequence[int]]) -> list[Check]:
    """Every check before timing, on the decoder and, for the timed shape, the very buffers.

    The ragged batch runs fused or eagerly; what else was compiled or captured exists for the timed
    shape alone, and is looked at over as many positions there.
    The session is left rewound, the slots beyond its prompts full of NaN, so that a leak during
    the timed run shows afterwards.
    """
    decoder = session.decoder
    checks = [*_ragged(session, prompts), _anew(session, prompts)]
    wanted = SHAPE_STEPS if session.facts()["route"] == "eager" else _steps(decoder)
    shape_steps = min(wanted, session.cache.capacity - max(session.lengths) + 1)
    batch = decode(decoder, prompts, shape_steps, session)
    poison(session)
    checks += judge(decoder, batch, f"timed batch of {len(prompts)}")
    alone = decode(decoder, prompts[:1], shape_steps)
    return [*checks, _same_alone(decoder, batch[0], alone[0])]


def _steps(decoder: Decoder) -> int:
    """Positions that G1 or G2 compares."""
    return EXACT_STEPS if decoder.dtype == torch.float32 else GATE_STEPS


def _ragged(session: Session, prompts: Sequence[Sequence[int]]) -> list[Check]:
    """Three rows of different lengths, the longest decode that is looked at, then a refill.

    fp32 decodes greedily. 16 bits are teacher-forced by the rest of their prompts as far as they
    go, so that real text, where there is any, decides what is compared.
    """
    decoder = session.decoder
    longest = min(*session.lengths, decoder.config.max_context // 2, RAGGED[-1])
    exact = decoder.dtype == torch.float32
    steps = min(_steps(decoder), decoder.config.max_context - longest)
    lengths = [max(1, longest * length // RAGGED[-1]) for length in RAGGED]
    whole = [prompts[index % len(prompts)] for index in range(len(lengths))]
    starts = [row[:length] for row, length in zip(whole, lengths, strict=True)]
    forced = [row[length:] for row, length in zip(whole, lengths, strict=True)]
    route = "fused" if session.facts()["route"] == "fused" else "eager"
    beside = Session(decoder, len(starts), longest + steps, route=route)
    beside.prefill(starts)
    traces = trace(beside, starts, steps, None if exact else forced)
    checks = judge(decoder, traces, f"ragged batch of {len(starts)}")
    beside.clear()
    return checks + judge(decoder, _refilled(beside, starts), "refilled row")


@torch.inference_mode()
def _refilled(session: Session, prompts: Sequence[Sequence[int]]) -> list[Trace]:
    """The middle one of three rows refilled while the others decode on; all of them traced."""
    rows, steps = [list(each) for each in prompts], min(SHAPE_STEPS, session.steps_left)
    for _ in range(steps // 2):
        session.step()
    rows = [[*row, *session.produced(index)[:-1]] for index, row in enumerate(rows)]
    rows[1] = [token for pair in zip(rows[1], rows[2], strict=False) for token in pair]
    rows[1] = rows[1][: session.cache.capacity - steps]
    for slots in session.cache.slots:
        slots[:, 1] = torch.nan
    session.refill(1, rows[1])
    return trace(session, rows, steps - steps // 2)


@torch.inference_mode()
def _anew(session: Session, prompts: Sequence[Sequence[int]]) -> Check:
    """The same prompts once more, over a cache of NaN: what was kept from before shows."""
    session.cache.fill_beyond(torch.zeros_like(session.positions), torch.nan)
    session.logits.fill_(torch.nan)
    session.prefill(prompts)
    if session.steps_left > 0:
        session.step()
    finite = bool(session.logits.isfinite().all())
    session.clear()
    detail = "its cache is written again" if finite else "an answer was kept, its cache is not"
    return ("a repeated prompt is computed anew", finite, detail)


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
        exact = _exact(decoder, alone, _before(decoder))
        allowed = 2 * SLACK * float(_rounding(decoder, alone, exact)[0].max())
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
        row = decode(decoder, [list(case["prompt"].encode("latin-1"))], len(expected))[0]
        wrong += bytes(row.tokens) != expected
        best = row.logits.topk(2, dim=-1).values
        margin = min(margin, float((best[:, 0] - best[:, 1]).min()))
    passed = wrong == 0 and margin > GOLDEN_MARGIN
    detail = f"{wrong} of {len(cases)} differ, smallest margin {margin:.3g}"
    return ("golden prompts", passed, detail)


def recheck(session: Session) -> list[Check]:
    """First and last row of a timed run, as it left them, against the reference; all rows whole."""
    places = torch.arange(session.history.shape[1], device=session.decoder.device)
    missing = (session.history < 0) & (places <= session.positions[:, None])
    short = int(missing.any(dim=1).sum())
    detail = f"{short} of {len(session.lengths)} rows lack a token before their last"
    checks = [("no output is cut short", short == 0, detail)]
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
    whole = Trace(prompt, output, torch.empty(0))
    exact = _exact(decoder, whole)
    tolerance = 2 * CLOSE * float(exact.abs().max())
    if decoder.dtype != torch.float32:
        tolerance = 2 * SLACK * float(_rounding(decoder, whole, exact)[0].max())
    chosen = torch.tensor(output, device=exact.device)[:, None]
    worst = float((exact.max(-1).values - exact.gather(-1, chosen)[:, 0]).max())
    detail = f"{len(output)} tokens, worst {worst:.2g} below the reference's choice"
    return (name, worst <= tolerance, detail)
