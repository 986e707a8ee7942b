"""A decode step on a CPU as one compiled function: every weight is read once for all rows.

Numba compiles it once for each weight type, whatever the model's shape: sizes are arguments, and
tensors are addresses. Weights and cache are fp32 or bf16 (as uint16), everything between is fp32.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

EXACT: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}
SUMS = EXACT | {"fastmath": {"reassoc", "contract", "nsz"}}  # sums in any order become vectors
ROWS = 4  # of a batch, or of a weight, that are multiplied together
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
LOG2_E = np.float32(math.log2(math.e))
LEAST_EXPONENT, MOST_EXPONENT = np.float32(-87.0), np.float32(87.0)  # beyond is no normal fp32
TAYLOR = tuple(np.float32(1 / math.factorial(power)) for power in range(8))

PATIENCE = 10_000  # looks at a counter, some 10 µs, before others may have the CPU

njit: Any = numba.njit
"""Its annotations do not know of intrinsics."""


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(_context: Any, address: Any, like: Any) -> Any:
    """The elements at an address, of the type of ``like``: an array or a NumPy scalar type."""
    made = types.CPointer(like.dtype)

    def code(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(made))

    return made(address, like), code


@intrinsic  # type: ignore[untyped-decorator]
def _wide(_context: Any, value: Any) -> Any:
    """fp32 of an fp32, or of the bits of a bf16."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        if value == types.float32:
            return arguments[0]
        bits = builder.zext(arguments[0], ir.IntType(32))
        return builder.bitcast(builder.shl(bits, bits.type(16)), ir.FloatType())

    return types.float32(value), code


@intrinsic  # type: ignore[untyped-decorator]
def _narrow(_context: Any, value: Any, like: Any) -> Any:
    """An fp32 in the type of ``like``; bits of bf16 are rounded to nearest, ties to even."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        if like.dtype == types.float32:
            return arguments[0]
        bits = builder.bitcast(arguments[0], ir.IntType(32))
        odd = builder.and_(builder.lshr(bits, bits.type(16)), bits.type(1))
        rounded = builder.add(bits, builder.add(odd, bits.type(0x7FFF)))
        return builder.trunc(builder.lshr(rounded, bits.type(16)), ir.IntType(16))

    return like.dtype(value, like), code


@intrinsic  # type: ignore[untyped-decorator]
def _nearest(_context: Any, value: Any) -> Any:
    """The whole number nearest to an fp32, as fp32."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.call(builder.module.declare_intrinsic("llvm.rint", [ir.FloatType()]), arguments)

    return types.float32(types.float32), code


@intrinsic  # type: ignore[untyped-decorator]
def _power_of_two(_context: Any, exponent: Any) -> Any:
    """2 to the power of a whole number in fp32, by its bits."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        biased = builder.add(builder.fptosi(arguments[0], word), word(127))
        return builder.bitcast(builder.shl(biased, word(23)), ir.FloatType())

    return types.float32(types.float32), code


@intrinsic  # type: ignore[untyped-decorator]
def _offset(_context: Any, pointer: Any, more: Any) -> Any:
    """A pointer to fp32, ``more`` bytes on."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address = builder.ptrtoint(arguments[0], ir.IntType(64))
        return builder.inttoptr(builder.add(address, arguments[1]), arguments[0].type)

    return pointer(pointer, types.int64), code


def _word(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, ir.IntType(64).as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def _count(_context: Any, address: Any) -> Any:
    """Add 1 to the word at an address, for all threads to see after what was written before."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        one = ir.IntType(64)(1)
        builder.atomic_rmw("add", _word(builder, arguments[0]), one, "seq_cst")
        return _context.get_dummy_value()

    return types.void(address), code


@intrinsic  # type: ignore[untyped-decorator]
def _peek(_context: Any, address: Any, more: Any) -> Any:
    """The word ``more`` bytes behind an address as other threads have left it."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        at = _word(builder, builder.add(arguments[0], arguments[1]))
        return builder.load_atomic(at, "seq_cst", 8)

    return types.int64(types.int64, types.int64), code


@intrinsic  # type: ignore[untyped-decorator]
def _yield(_context: Any) -> Any:
    """Let another thread have this CPU, should one want it."""

    def code(_context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        name = "sched_yield"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        return builder.call(function, [])

    return types.int32(), code


@njit(**EXACT)
def _exp(x: Any) -> Any:
    """e to the power of an fp32 of at most 88: 2ⁿ times a Taylor series of degree 7."""
    x = max(x, LEAST_EXPONENT)
    whole = _nearest(x * LOG2_E)
    rest = (x - whole * LN2_HIGH) - whole * LN2_LOW
    total = TAYLOR[7]
    total = total * rest + TAYLOR[6]
    total = total * rest + TAYLOR[5]
    total = total * rest + TAYLOR[4]
    total = total * rest + TAYLOR[3]
    total = total * rest + TAYLOR[2]
    total = total * rest + TAYLOR[1]
    total = total * rest + TAYLOR[0]
    return total * _power_of_two(whole)


@njit(**SUMS)
def _four_sums(x: Any, w: Any, a: Any, b: Any, k: Any) -> Any:
    """One row of x from element ``a`` on times four rows of w from element ``b`` on."""
    s0 = s1 = s2 = s3 = np.float32(0)
    for i in range(k):
        v = x[a + i]
        s0 += v * _wide(w[b + i])
        s1 += v * _wide(w[b + k + i])
        s2 += v * _wide(w[b + 2 * k + i])
        s3 += v * _wide(w[b + 3 * k + i])
    return s0, s1, s2, s3


@njit(**SUMS)
def _sum(x: Any, w: Any, b: Any, k: Any) -> Any:
    """A row x times one row of w from element ``b`` on."""
    total = np.float32(0)
    for i in range(k):
        total += x[i] * _wide(w[b + i])
    return total


@njit(**SUMS)
def _mix(s0: Any, s1: Any, s2: Any, s3: Any, v: Any, out: Any, b: Any, size: Any) -> None:
    """Four rows of v from element ``b`` on, each by its share, added to out."""
    for i in range(size):
        low = s0 * _wide(v[b + i]) + s1 * _wide(v[b + size + i])
        high = s2 * _wide(v[b + 2 * size + i]) + s3 * _wide(v[b + 3 * size + i])
        out[i] += low + high


@njit(**SUMS)
def _eight_sums(x: Any, w: Any, a: Any, b: Any, k: Any) -> Any:
    """Four rows of x from element ``a`` on times two rows of w from element ``b`` on."""
    s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = np.float32(0)
    for i in range(k):
        v, u = _wide(w[b + i]), _wide(w[b + k + i])
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
        out[i] = x[i] * scale * _wide(w[i])


@njit(**SUMS)
def _turn(x: Any, cos: Any, sin: Any, place: Any, size: Any) -> None:
    """RoPE in place on one head of ``size`` elements; ``sin`` carries the signs."""
    half = size // 2
    for i in range(half):
        low, high, angle = x[i], x[half + i], place * size + i
        x[i] = low * _wide(cos[angle]) + high * _wide(sin[angle])
        x[half + i] = high * _wide(cos[angle + half]) + low * _wide(sin[angle + half])


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
            out[i] += s[slot] * _wide(v[slot * size + i])
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
    cache = _pointer(layer[8], like)
    to = ((kind * batch * groups + pair) * slots + place) * size
    for i in range(size):
        cache[to + i] = _narrow(head[i], like)


@njit(**EXACT)
def _attend(pair: Any, like: Any, sizes: Any, layer: Any, whole: Any, epsilon: Any) -> None:
    """One row and one KV head, counted by ``pair``: cache its key and value, attend its queries."""
    batch, _, heads, groups, size, _, _, slots, _ = sizes
    row, group, shared = pair // groups, pair % groups, heads // groups
    cos, sin = _pointer(whole[3], like), _pointer(whole[4], like)
    last = _pointer(whole[6], np.int64)[row]
    first = max(0, last - layer[9] + 1) if layer[9] else 0
    qkv = whole[12] + 4 * row * (heads + 2 * groups) * size
    key = _pointer(qkv + 4 * (heads + group) * size, np.float32)
    if layer[2]:
        _norm(key, _pointer(layer[2], like), key, size, epsilon)
    _turn(key, cos, sin, last, size)
    _keep(key, 0, pair, last, like, sizes, layer)
    value = _pointer(qkv + 4 * (heads + groups + group) * size, np.float32)
    _keep(value, 1, pair, last, like, sizes, layer)
    slab = slots * size * like.itemsize
    keys = _pointer(layer[8] + pair * slab, like)
    values = _pointer(layer[8] + (batch * groups + pair) * slab, like)
    for head in range(group * shared, (group + 1) * shared):
        query = _pointer(qkv + 4 * head * size, np.float32)
        if layer[1]:
            _norm(query, _pointer(layer[1], like), query, size, epsilon)
        _turn(query, cos, sin, last, size)
        scores = _pointer(whole[15] + 4 * (row * heads + head) * slots, np.float32)
        out = _pointer(whole[13] + 4 * (row * heads + head) * size, np.float32)
        _head(query, keys, values, scores, out, first, last, size)


@njit(**SUMS)
def _add_and_norm(x: Any, more: Any, w: Any, out: Any, shape: Any, epsilon: Any) -> None:
    """x += more; out is its RMS norm, row by row."""
    batch, size = shape
    for i in range(batch * size):
        x[i] += more[i]
    for row in range(batch):
        at = 4 * row * size
        _norm(_offset(x, at), w, _offset(out, at), size, epsilon)


@njit(**EXACT)
def _pick(sizes: Any, whole: Any) -> None:
    """The first greatest logit of each row is its next token, one place on."""
    batch, _, _, _, _, _, vocabulary, slots, _ = sizes
    tokens, places = _pointer(whole[5], np.int64), _pointer(whole[6], np.int64)
    history, made = _pointer(whole[7], np.int64), _pointer(whole[8], np.int64)
    logits = _pointer(whole[9], np.float32)
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
    _count(met)
    turns = 0
    while _peek(met, 0) < due and _peek(met, 8) == 0:
        turns += 1
        if turns > PATIENCE:
            _yield()


@njit(**EXACT)
def _part(count: Any, rank: Any, threads: Any) -> Any:
    """First and end of this thread's fours of a count."""
    fours = (count + ROWS - 1) // ROWS
    return ROWS * (fours * rank // threads), min(count, ROWS * (fours * (rank + 1) // threads))


@njit(nogil=True, cache=True, **EXACT)
def step(like: Any, sizes: Any, epsilon: Any, layers: Any, whole: Any, rank: Any, due: Any) -> None:
    """The part of thread ``rank`` in one more token per row.

    Every thread adds and norms all rows itself, which costs less than to wait for another;
    products and heads are shared. ``due`` arrivals have been counted by earlier steps.
    ``fused.Fused`` says what lies at which address.
    """
    batch, d, heads, groups, size, width, vocabulary, _, threads = sizes
    embedding, tokens = _pointer(whole[0], like), _pointer(whole[5], np.int64)
    x = _pointer(whole[10] + 4 * rank * batch * d, np.float32)
    h = _pointer(whole[11] + 4 * rank * batch * d, np.float32)
    qkv, mixed = _pointer(whole[12], np.float32), _pointer(whole[13], np.float32)
    gate_up, added = _pointer(whole[14], np.float32), _pointer(whole[16], np.float32)
    met = whole[17]
    for row in range(batch):
        for i in range(d):
            x[row * d + i] = _wide(embedding[tokens[row] * d + i])
            added[row * d + i] = np.float32(0)
    for index in range(len(layers)):
        layer = layers[index]
        _add_and_norm(x, added, _pointer(layer[0], like), h, (batch, d), epsilon)
        n = (heads + 2 * groups) * size
        first, end = _part(n, rank, threads)
        _product(h, _pointer(layer[4], like), qkv, (batch, d), first, end, n)
        due += threads
        _meet(met, due)
        pairs = batch * groups
        for pair in range(pairs * rank // threads, pairs * (rank + 1) // threads):
            _attend(pair, like, sizes, layer, whole, epsilon)
        due += threads
        _meet(met, due)
        first, end = _part(d, rank, threads)
        _product(mixed, _pointer(layer[5], like), added, (batch, heads * size), first, end, d)
        due += threads
        _meet(met, due)
        _add_and_norm(x, added, _pointer(layer[3], like), h, (batch, d), epsilon)
        first, end = _part(width, rank, threads)
        w = _pointer(layer[6], like)
        _product(h, w, gate_up, (batch, d), first, end, 2 * width)
        _product(h, w, gate_up, (batch, d), width + first, width + end, 2 * width)
        _gated(gate_up, mixed, batch, width, first, end)
        due += threads
        _meet(met, due)
        first, end = _part(d, rank, threads)
        _product(mixed, _pointer(layer[7], like), added, (batch, width), first, end, d)
        due += threads
        _meet(met, due)
    _add_and_norm(x, added, _pointer(whole[1], like), h, (batch, d), epsilon)
    first, end = _part(vocabulary, rank, threads)
    logits = _pointer(whole[9], np.float32)
    _product(h, _pointer(whole[2], like), logits, (batch, d), first, end, vocabulary)
    _meet(met, due + threads)
    if rank == 0:
        _pick(sizes, whole)
