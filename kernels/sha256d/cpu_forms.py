"""The forms that SHA-256d takes in a CPU's registers, as LLVM IR.

A form lays the works out in memory (``pack``), expands the schedule that siblings share
(``expand``) and tests their double hashes (``hits``); which CPU takes which form stops here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils

from .compression import IV, expanded, last_word_expanded
from .header import WORK_WORDS
from .lowering import I32, LlvmWords, emit_compress, emit_last_word, splat
from .sha_extension import (
    QUAD,
    Quads,
    compress_quads,
    expanded_quads,
    first_hashes,
    first_words,
    quad_value,
    second_hashes,
)

Words = npt.NDArray[np.uint32]
ALIGNMENT = 64
_WORD_BYTES = 4


class Form(Protocol):
    """One way of computing; a step takes ``nonces`` nonces of ``midstates`` works.

    The step is ``turns`` calls of ``hits``. Bit b of turn r is place ``r · bits + b`` of the step,
    midstate by midstate, its nonces in order.
    """

    nonces: int
    midstates: int
    turns: int
    scratch_words: int
    lanes: int
    """Messages that ``compress`` takes side by side."""

    def pack(self, works: Sequence[Sequence[int]]) -> Words:
        """The works as ``expand`` and ``hits`` read them."""

    def expand(
        self, builder: ir.IRBuilder, packed: ir.Value, first: ir.Value, scratch: ir.Value
    ) -> None:
        """Write to ``scratch`` what all midstates share of the step that begins at ``first``."""

    def hits(
        self,
        builder: ir.IRBuilder,
        packed: ir.Value,
        scratch: ir.Value,
        turn: ir.Value,
        mask: ir.Value,
    ) -> ir.Value:
        """One bit for each nonce or midstate of the turn: whether it meets the mask."""

    def compress(self, builder: ir.IRBuilder, chain: ir.Value, block: ir.Value) -> None:
        """Compress interleaved messages: word i of message j at ``i · lanes + j``."""


class Memory:
    """Registers of one kind, one after the other at a pointer to words."""

    def __init__(
        self, builder: ir.IRBuilder, kind: ir.Type, words: ir.Value, first: ir.Value | None = None
    ) -> None:
        self._builder = builder
        self._base = builder.bitcast(words, kind.as_pointer())
        if first is not None:
            self._base = builder.gep(self._base, [first])
        self._align = getattr(kind, "count", 1) * _WORD_BYTES

    def load(self, index: int | ir.Value) -> ir.Value:
        """The register at a place."""
        return self._builder.load(self._at(index), align=self._align)

    def store(self, index: int | ir.Value, value: ir.Value) -> None:
        """Set the register at a place."""
        self._builder.store(value, self._at(index), align=self._align)

    def _at(self, index: int | ir.Value) -> ir.Value:
        place = I32(index) if isinstance(index, int) else index
        return self._builder.gep(self._base, [place])


class VectorForm:
    """A register holds one word of as many nonces as it has lanes; a turn is one midstate."""

    def __init__(self, lanes: int, midstates: int, words: type[LlvmWords] = LlvmWords) -> None:
        self.lanes = self.nonces = lanes
        self.midstates = self.turns = midstates
        self.scratch_words = 61 * lanes
        self._words = words
        self._kind = ir.VectorType(I32, lanes)

    def pack(self, works: Sequence[Sequence[int]]) -> Words:
        """The tail, then midstate and state of each work; every word in every lane."""
        flat = [*works[0][16:], *(word for work in works for word in work[:16])]
        return np.repeat(np.array(flat, dtype=np.uint32), self.lanes)

    def expand(
        self, builder: ir.IRBuilder, packed: ir.Value, first: ir.Value, scratch: ir.Value
    ) -> None:
        """W3, then the sums of rounds 4 … 63."""
        ops, source = self._words(builder, self._kind), Memory(builder, self._kind, packed)
        steps = ir.Constant(self._kind, list(range(self.lanes)))
        nonces = builder.add(splat(builder, self._kind, first), steps)
        target = Memory(builder, self._kind, scratch)
        sums = expanded(ops, [source.load(i) for i in range(3)], nonces)
        for i, value in enumerate([ops.swap(nonces), *sums]):
            target.store(i, ops.value(value))

    def hits(
        self,
        builder: ir.IRBuilder,
        packed: ir.Value,
        scratch: ir.Value,
        turn: ir.Value,
        mask: ir.Value,
    ) -> ir.Value:
        """One bit per lane."""
        first = builder.add(builder.mul(turn, I32(16)), I32(3))
        source = Memory(builder, self._kind, packed, first)
        shared = Memory(builder, self._kind, scratch)
        ops = self._words(builder, self._kind)
        sums = (shared.load(1 + i) for i in range(60))
        work = [source.load(i) for i in range(16)]
        h7 = last_word_expanded(ops, work, shared.load(0), sums)
        return _bits(builder, h7, mask)

    def compress(self, builder: ir.IRBuilder, chain: ir.Value, block: ir.Value) -> None:
        """All lanes at once."""
        chains, blocks = (builder.bitcast(each, self._kind.as_pointer()) for each in (chain, block))
        emit_compress(builder, LlvmWords(builder, self._kind), chains, blocks)


def _bits(builder: ir.IRBuilder, h7: ir.Value, mask: ir.Value) -> ir.Value:
    kind = h7.type
    rest = builder.and_(h7, splat(builder, kind, mask))
    met = builder.icmp_unsigned("==", rest, ir.Constant(kind, [0] * kind.count))
    return builder.zext(builder.bitcast(met, ir.IntType(kind.count)), I32)


class ScalarForm:
    """One nonce after the other in a loop without branches, which LLVM may vectorise as it can."""

    midstates = turns = lanes = 1
    nonces = scratch_words = 32

    def pack(self, works: Sequence[Sequence[int]]) -> Words:
        """The work as it is."""
        return np.array(works[0], dtype=np.uint32)

    def expand(
        self, builder: ir.IRBuilder, packed: ir.Value, first: ir.Value, scratch: ir.Value
    ) -> None:
        """All of the work: the last word of each nonce."""
        source, target = Memory(builder, I32, packed), Memory(builder, I32, scratch)
        work = [source.load(i) for i in range(WORK_WORDS)]
        with cgutils.for_range(builder, I32(self.nonces)) as loop:
            target.store(loop.index, emit_last_word(builder, work, builder.add(first, loop.index)))

    def hits(
        self,
        builder: ir.IRBuilder,
        packed: ir.Value,  # noqa: ARG002
        scratch: ir.Value,
        turn: ir.Value,  # noqa: ARG002
        mask: ir.Value,
    ) -> ir.Value:
        """One bit per nonce."""
        bits: ir.Value = I32(0)
        source = Memory(builder, I32, scratch)
        for i in range(self.nonces):
            met = builder.icmp_unsigned("==", builder.and_(source.load(i), mask), I32(0))
            bits = builder.or_(bits, builder.shl(builder.zext(met, I32), I32(i)))
        return bits

    def compress(self, builder: ir.IRBuilder, chain: ir.Value, block: ir.Value) -> None:
        """One message."""
        emit_compress(builder, LlvmWords(builder), chain, block)


class QuadForm:
    """A register holds four words of one hash; a turn is all midstates of one nonce.

    ``abreast`` second hashes run side by side: they hide each other's latency, and each wants six
    registers.
    """

    nonces = turns = lanes = 1
    scratch_words = 64

    def __init__(self, quads: type[Quads], midstates: int, abreast: int) -> None:
        self.midstates = midstates
        self._quads = quads
        self._abreast = abreast

    def pack(self, works: Sequence[Sequence[int]]) -> Words:
        """W16 … W19, then midstate and state of each work in the registers' order."""
        flat = list(first_words(works[0][16:]))
        for work in works:
            for eight in (work[:8], work[8:16]):
                flat += [word for half in self._quads().laid_out(eight) for word in half]
        return np.array(flat, dtype=np.uint32)

    def expand(
        self, builder: ir.IRBuilder, packed: ir.Value, first: ir.Value, scratch: ir.Value
    ) -> None:
        """W3 in the first register, then the sums of rounds 4 … 63."""
        w3 = LlvmWords(builder).swap(first)
        Memory(builder, I32, scratch).store(0, w3)
        words = Memory(builder, QUAD, packed).load(0)
        target = Memory(builder, QUAD, scratch)
        for i, sums in enumerate(expanded_quads(self._quads(builder), words, w3)):
            target.store(1 + i, quad_value(sums))

    def hits(
        self,
        builder: ir.IRBuilder,
        packed: ir.Value,
        scratch: ir.Value,
        turn: ir.Value,  # noqa: ARG002
        mask: ir.Value,
    ) -> ir.Value:
        """One bit per midstate."""
        quads = self._quads(builder)
        source, shared = Memory(builder, QUAD, packed), Memory(builder, QUAD, scratch)
        at = [source.load(1 + i) for i in range(4 * self.midstates)]
        works = [((at[i], at[i + 1]), (at[i + 2], at[i + 3])) for i in range(0, len(at), 4)]
        w3 = Memory(builder, I32, scratch).load(0)
        digests = first_hashes(quads, works, w3, [shared.load(1 + i) for i in range(15)])
        bits: ir.Value = I32(0)
        for i in range(0, self.midstates, self._abreast):
            for place, e in enumerate(second_hashes(quads, digests[i : i + self._abreast]), i):
                rest = builder.and_(builder.add(e, I32(IV[7])), mask)
                met = builder.zext(builder.icmp_unsigned("==", rest, I32(0)), I32)
                bits = builder.or_(bits, builder.shl(met, I32(place)))
        return bits

    def compress(self, builder: ir.IRBuilder, chain: ir.Value, block: ir.Value) -> None:
        """One message, through the instructions of the double hash."""
        quads = self._quads(builder)
        source, target = Memory(builder, QUAD, block), Memory(builder, QUAD, chain)
        message = [source.load(i) for i in range(4)]
        for i, half in enumerate(compress_quads(quads, (target.load(0), target.load(1)), message)):
            target.store(i, half)
