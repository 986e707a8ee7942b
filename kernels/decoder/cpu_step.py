"""A decode step on a CPU as one compiled function: every weight is read once for all rows.

Numba compiles it once for each weight type, whatever the model's shape: sizes are arguments, and
tensors are addresses. Weights and cache are fp32 or bf16 (as uint16), everything between is fp32.
"""

# ruff: noqa: PLR0917 - called by compiled code only
from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

from ..private_cache import digest, folder
from .cpu_words import (
    count_arrival,
    give_way,
    narrow,
    nearest,
    offset,
    peek,
    pointer,
    power_of_two,
    wide,
)

Compiled = Callable[..., Any]


def njit(**options: Any) -> Callable[[Compiled], Compiled]:
    """Numba's, with a type."""
    made: Callable[[Compiled], Compiled] = numba.njit(**options)
    return made


EXACT: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}
SUMS = EXACT | {"fastmath": {"reassoc", "contract", "nsz"}}  # sums in any order become vectors
ROWS = 4  # of a batch, or of a weight, that are multiplied together
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
LOG2_E = np.float32(math.log2(math.e))
LEAST_EXPONENT, MOST_EXPONENT = np.float32(-87.0), np.float32(87.0)  # beyond is no normal fp32
TAYLOR = tuple(np.float32(1 / math.factorial(power)) for power in range(8))

EMBEDDING, NORM, HEAD, COS, SIN = range(5)
TOKENS, PLACES, HISTORY, LOGITS, MADE = range(5, 10)
HIDDEN, NORMED, JOINED, MIXED, GATED, SCORES, ADDED, MET = range(10, 18)
"""Places of addresses in ``whole``."""
ATTENTION_NORM, QUERY_NORM, KEY_NORM, MLP_NORM, JOIN, OUT, GATE_UP, DOWN, CACHE, WINDOW = range(10)
"""Places in a row of ``layers``: addresses, 0 for none, and the window, 0 for none."""
PATIENCE = 10_000  # looks at a counter, some 10 µs, before others may have the CPU


@njit(**EXACT)
def _exp(x: Any) -> Any:
    """e to the power of an fp32 of at most 88: 2ⁿ times a Taylor series of degree 7."""
    x = max(x, LEAST_EXPONENT)
    whole = nearest(x * LOG2_E)
    rest = (x - whole * LN2_HIGH) - whole * LN2_LOW
    total = TAYLOR[7]
    total = total * rest + TAYLOR[6]
    total = total * rest + TAYLOR[5]
    total = total * rest + TAYLOR[4]
    total = total * rest + TAYLOR[3]
    total = total * rest + TAYLOR[2]
    total = total * rest + TAYLOR[1]
    total = total * rest + TAYLOR[0]
    return total * power_of_two(whole)


@njit(**SUMS)
def _four_sums(x: Any, w: Any, a: Any, b: Any, k: Any) -> Any:
    """One row of x from element ``a`` on times four rows of w from element ``b`` on."""
    s0 = s1 = s2 = s3 = np.float32(0)
    for i in range(k):
        v = x[a + i]
        s0 += v * wide(w[b + i])
        s1 += v * wide(w[b + k + i])
        s2 += v * wide(w[b + 2 * k + i])
        s3 += v * wide(w[b + 3 * k + i])
    return s0, s1, s2, s3


@njit(**SUMS)
def _sum(x: Any, w: Any, b: Any, k: Any) -> Any:
    """A row x times one row of w from element ``b`` on."""
    total = np.float32(0)
    for i in range(k):
        total += x[i] * wide(w[b + i])
    return total


@njit(**SUMS)
def _mix(s0: Any, s1: Any, s2: Any, s3: Any, v: Any, out: Any, b: Any, size: Any) -> None:
    """Four rows of v from element ``b`` on, each by its share, added to out."""
    for i in range(size):
        low = s0 * wide(v[b + i]) + s1 * wide(v[b + size + i])
        high = s2 * wide(v[b + 2 * size + i]) + s3 * wide(v[b + 3 * size + i])
        out[i] += low + high


@njit(**SUMS)
def _eight_sums(x: Any, w: Any, a: Any, b: Any, k: Any) -> Any:
    """Four rows of x from element ``a`` on times two rows of w from element ``b`` on."""
    s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = np.float32(0)
    for i in range(k):
        v, u = wide(w[b + i]), wide(w[b + k + i])
        x0, x1, x2, x3 = x[a + i], x[a + k + i], x[a + 2 * k + i], x[a + 3 * k + i]
        s0 += x0 * v
        s1 += x1 * v
        s2 += x2 * v
        s3 += x3 * v
        t0 += x0 * u
        t1 += x1 * u
        t2 += x2 * u
        t3 += x3 * u
    return s0, s1, s2, s3, t0, t1, t2, t3


@njit(**EXACT)
def _product(x: Any, w: Any, out: Any, shape: Any, first: Any, end: Any, n: Any) -> None:
    """Columns ``first`` to ``end`` of out [batch, n] = x [batch, k] times w [n, k] transposed.

    By fours of columns and of rows; the last four of either overlap those before.
    """
    batch, k = shape
    for start in range(first, end, ROWS):
        column = min(start, n - ROWS)
        if batch < ROWS:
            for row in range(batch):
                at = row * n + column
                sums = _four_sums(x, w, row * k, column * k, k)
                out[at], out[at + 1], out[at + 2], out[at + 3] = sums
        else:
            for start_row in range(0, batch, ROWS):
                row = min(start_row, batch - ROWS)
                for pair in range(column, column + ROWS, 2):
                    at = row * n + pair
                    s0, s1, s2, s3, t0, t1, t2, t3 = _eight_sums(x, w, row * k, pair * k, k)
                    out[at], out[at + n], out[at + 2 * n], out[at + 3 * n] = s0, s1, s2, s3
                    at += 1
                    out[at], out[at + n], out[at + 2 * n], out[at + 3 * n] = t0, t1, t2, t3


@njit(**SUMS)
def _norm(x: Any, w: Any, out: Any, size: Any, epsilon: Any) -> None:
    """RMS norm of ``size`` elements; ``out`` may be x itself."""
    squares = np.float32(0)
    for i in range(size):
        squares += x[i] * x[i]
    scale = np.float32(1) / np.sqrt(squares / np.float32(size) + epsilon)
    for i in range(size):
        out[i] = x[i] * scale * wide(w[i])


@njit(**SUMS)
def _turn(x: Any, cos: Any, sin: Any, place: Any, size: Any) -> None:
    """RoPE in place on one head of ``size`` elements; ``sin`` carries the signs."""
    half = size // 2
    for i in range(half):
        low, high, angle = x[i], x[half + i], place * size + i
        x[i] = low * wide(cos[angle]) + high * wide(sin[angle])
        x[half + i] = high * wide(cos[angle + half]) + low * wide(sin[angle + half])


@njit(**SUMS)
def _head(q: Any, k: Any, v: Any, s: Any, out: Any, first: Any, last: Any, size: Any) -> None:
    """Attention of one query of ``size`` elements to the slots from ``first`` to ``last``.

    ``q`` and ``out`` point at the head, ``k`` and ``v`` at slot 0, ``s`` at room for all slots.
    """
    scale = np.float32(1) / np.sqrt(np.float32(size))
    fours = last + 1 - (last + 1 - first) % ROWS
    for slot in range(first, fours, ROWS):
        s[slot], s[slot + 1], s[slot + 2], s[slot + 3] = _four_sums(q, k, 0, slot * size, size)
    for slot in range(fours, last + 1):
        s[slot] = _sum(q, k, slot * size, size)
    most = np.float32(-np.inf)
    for slot in range(first, last + 1):
        most = max(most, s[slot])
    total = np.float32(0)
    for slot in range(first, last + 1):
        s[slot] = _exp((s[slot] - most) * scale)
        total += s[slot]
    for i in range(size):
        out[i] = np.float32(0)
    for slot in range(first, fours, ROWS):
        _mix(s[slot], s[slot + 1], s[slot + 2], s[slot + 3], v, out, slot * size, size)
    for slot in range(fours, last + 1):
        for i in range(size):
            out[i] += s[slot] * wide(v[slot * size + i])
    for i in range(size):
        out[i] /= total


@njit(**SUMS)
def _gated(gate_up: Any, out: Any, batch: Any, width: Any, first: Any, end: Any) -> None:
    """SiLU(gate) · up of rows gate‖up, both ``width`` wide, in columns ``first`` to ``end``."""
    for row in range(batch):
        for i in range(first, end):
            gate = gate_up[2 * row * width + i]
            up = gate_up[(2 * row + 1) * width + i]
            out[row * width + i] = gate / (np.float32(1) + _exp(min(-gate, MOST_EXPONENT))) * up


@njit(**EXACT)
def _keep(head: Any, kind: Any, pair: Any, place: Any, like: Any, sizes: Any, layer: Any) -> None:
    """Store one head as key (0) or value (1) at a place of the cache."""
    batch, _, _, groups, size, _, _, slots, _ = sizes
    cache = pointer(layer[CACHE], like)
    to = ((kind * batch * groups + pair) * slots + place) * size
    for i in range(size):
        cache[to + i] = narrow(head[i], like)


@njit(**EXACT)
def _attend(pair: Any, like: Any, sizes: Any, layer: Any, whole: Any, epsilon: Any) -> None:
    """One row and one KV head, counted by ``pair``: cache its key and value, attend its queries."""
    batch, _, heads, groups, size, _, _, slots, _ = sizes
    row, group, shared = pair // groups, pair % groups, heads // groups
    cos, sin = pointer(whole[COS], like), pointer(whole[SIN], like)
    last = pointer(whole[PLACES], np.int64)[row]
    first = max(0, last - layer[WINDOW] + 1) if layer[WINDOW] else 0
    qkv = whole[JOINED] + 4 * row * (heads + 2 * groups) * size
    key = pointer(qkv + 4 * (heads + group) * size, np.float32)
    if layer[KEY_NORM]:
        _norm(key, pointer(layer[KEY_NORM], like), key, size, epsilon)
    _turn(key, cos, sin, last, size)
    _keep(key, 0, pair, last, like, sizes, layer)
    value = pointer(qkv + 4 * (heads + groups + group) * size, np.float32)
    _keep(value, 1, pair, last, like, sizes, layer)
    slab = slots * size * like.itemsize
    keys = pointer(layer[CACHE] + pair * slab, like)
    values = pointer(layer[CACHE] + (batch * groups + pair) * slab, like)
    for head in range(group * shared, (group + 1) * shared):
        query = pointer(qkv + 4 * head * size, np.float32)
        if layer[QUERY_NORM]:
            _norm(query, pointer(layer[QUERY_NORM], like), query, size, epsilon)
        _turn(query, cos, sin, last, size)
        scores = pointer(whole[SCORES] + 4 * (row * heads + head) * slots, np.float32)
        out = pointer(whole[MIXED] + 4 * (row * heads + head) * size, np.float32)
        _head(query, keys, values, scores, out, first, last, size)


@njit(**SUMS)
def _add_and_norm(x: Any, more: Any, w: Any, out: Any, shape: Any, epsilon: Any) -> None:
    """x += more; out is its RMS norm, row by row."""
    batch, size = shape
    for i in range(batch * size):
        x[i] += more[i]
    for row in range(batch):
        at = 4 * row * size
        _norm(offset(x, at), w, offset(out, at), size, epsilon)


@njit(**EXACT)
def _pick(sizes: Any, whole: Any) -> None:
    """The first greatest logit of each row is its next token, one place on."""
    batch, _, _, _, _, _, vocabulary, slots, _ = sizes
    tokens, places = pointer(whole[TOKENS], np.int64), pointer(whole[PLACES], np.int64)
    history, made = pointer(whole[HISTORY], np.int64), pointer(whole[MADE], np.int64)
    logits = pointer(whole[LOGITS], np.float32)
    for row in range(batch):
        at, token = row * vocabulary, 0
        for i in range(vocabulary):
            if logits[at + i] > logits[at + token]:
                token = i
        tokens[row] = token
        places[row] += 1
        history[row * slots + places[row]] = token
    made[0] += 1


@njit(**EXACT)
def _meet(met: Any, due: Any) -> None:
    """Wait until ``due`` arrivals have been counted, or the step is given up."""
    count_arrival(met)
    turns = 0
    while peek(met, 0) < due and peek(met, 8) == 0:
        turns += 1
        if turns > PATIENCE:
            give_way()


@njit(**EXACT)
def _part(count: Any, rank: Any, threads: Any) -> Any:
    """First and end of this thread's fours of a count."""
    fours = (count + ROWS - 1) // ROWS
    return ROWS * (fours * rank // threads), min(count, ROWS * (fours * (rank + 1) // threads))


def _sources() -> str:
    """A name for what is compiled here: Numba itself looks at this file only."""
    own = Path(__file__)
    files = (own, own.with_name("cpu_words.py"))
    return digest(numba.__version__, *(file.read_bytes() for file in files))[:16]


numba.config.CACHE_DIR = str(folder("numba") / _sources())  # type: ignore[attr-defined, unused-ignore]


@njit(nogil=True, cache=True, **EXACT)
def step(like: Any, sizes: Any, epsilon: Any, layers: Any, whole: Any, rank: Any, due: Any) -> None:
    """The part of thread ``rank`` in one more token per row.

    Every thread adds and norms all rows itself, which costs less than to wait for another;
    products and heads are shared. ``due`` arrivals have been counted by earlier steps.
    ``fused.Fused`` says what lies at which address.
    """
    batch, d, heads, groups, size, width, vocabulary, _, threads = sizes
    embedding, tokens = pointer(whole[EMBEDDING], like), pointer(whole[TOKENS], np.int64)
    x = pointer(whole[HIDDEN] + 4 * rank * batch * d, np.float32)
    h = pointer(whole[NORMED] + 4 * rank * batch * d, np.float32)
    qkv, mixed = pointer(whole[JOINED], np.float32), pointer(whole[MIXED], np.float32)
    gate_up, added = pointer(whole[GATED], np.float32), pointer(whole[ADDED], np.float32)
    met = whole[MET]
    for row in range(batch):
        for i in range(d):
            x[row * d + i] = wide(embedding[tokens[row] * d + i])
            added[row * d + i] = np.float32(0)
    for index in range(len(layers)):
        layer = layers[index]
        _add_and_norm(x, added, pointer(layer[ATTENTION_NORM], like), h, (batch, d), epsilon)
        n = (heads + 2 * groups) * size
        first, end = _part(n, rank, threads)
        _product(h, pointer(layer[JOIN], like), qkv, (batch, d), first, end, n)
        due += threads
        _meet(met, due)
        pairs = batch * groups
        for pair in range(pairs * rank // threads, pairs * (rank + 1) // threads):
            _attend(pair, like, sizes, layer, whole, epsilon)
        due += threads
        _meet(met, due)
        first, end = _part(d, rank, threads)
        _product(mixed, pointer(layer[OUT], like), added, (batch, heads * size), first, end, d)
        due += threads
        _meet(met, due)
        _add_and_norm(x, added, pointer(layer[MLP_NORM], like), h, (batch, d), epsilon)
        first, end = _part(width, rank, threads)
        w = pointer(layer[GATE_UP], like)
        _product(h, w, gate_up, (batch, d), first, end, 2 * width)
        _product(h, w, gate_up, (batch, d), width + first, width + end, 2 * width)
        _gated(gate_up, mixed, batch, width, first, end)
        due += threads
        _meet(met, due)
        first, end = _part(d, rank, threads)
        _product(mixed, pointer(layer[DOWN], like), added, (batch, width), first, end, d)
        due += threads
        _meet(met, due)
    _add_and_norm(x, added, pointer(whole[NORM], like), h, (batch, d), epsilon)
    first, end = _part(vocabulary, rank, threads)
    logits = pointer(whole[LOGITS], np.float32)
    _product(h, pointer(whole[HEAD], like), logits, (batch, d), first, end, vocabulary)
    _meet(met, due + threads)
    if rank == 0:
        _pick(sizes, whole)
