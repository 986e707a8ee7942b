"""32-bit words as LLVM values: the rounds of ``compression`` become straight-line IR.

One lowering serves vector lanes on the CPU and single registers in CUDA; loops and launches stop
here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

from llvmlite import ir

from .compression import INTEGERS, compress, last_word

I32 = ir.IntType(32)


class LlvmWords:
    """Words that are IR values of ``kind``, i32 or a vector of it; ints fold before emission."""

    def __init__(self, builder: ir.IRBuilder, kind: ir.Type = I32) -> None:
        self._builder = builder
        self._kind = kind
        self._lanes: int | None = getattr(kind, "count", None)
        suffix = "i32" if self._lanes is None else f"v{self._lanes}i32"
        declare = builder.module.declare_intrinsic
        self._rotate = declare(f"llvm.fshr.{suffix}", (), ir.FunctionType(kind, [kind] * 3))
        self._swap = declare(f"llvm.bswap.{suffix}", (), ir.FunctionType(kind, [kind]))

    def value(self, x: ir.Value | int) -> ir.Value:
        """``x`` as an IR value; an int fills every lane."""
        if not isinstance(x, int):
            return x
        return ir.Constant(self._kind, x if self._lanes is None else [x] * self._lanes)

    def add(self, *terms: ir.Value | int) -> ir.Value | int:
        """Sum modulo 2^32; the constants among the terms become one."""
        return self._fold(INTEGERS.add, self._builder.add, terms)

    def add3(self, x: ir.Value | int, y: ir.Value | int, z: ir.Value | int) -> ir.Value | int:
        """Sum modulo 2^32 as ``x + (y + z)``."""
        return self.add(x, self.add(y, z))

    def xor(self, *terms: ir.Value | int) -> ir.Value | int:
        """Exclusive or; the constants among the terms become one."""
        return self._fold(INTEGERS.xor, self._builder.xor, terms)

    def rotr(self, x: ir.Value | int, n: int) -> ir.Value | int:
        """Rotate right by a funnel shift."""
        if isinstance(x, int):
            return INTEGERS.rotr(x, n)
        return self._builder.call(self._rotate, [x, x, self.value(n)])

    def shr(self, x: ir.Value | int, n: int) -> ir.Value | int:
        """Logical shift right."""
        if isinstance(x, int):
            return INTEGERS.shr(x, n)
        return self._builder.lshr(x, self.value(n))

    def swap(self, x: ir.Value | int) -> ir.Value | int:
        """Reverse the four bytes."""
        if isinstance(x, int):
            return INTEGERS.swap(x)
        return self._builder.call(self._swap, [x])

    def ch(self, e: ir.Value | int, f: ir.Value | int, g: ir.Value | int) -> ir.Value | int:
        """Choose by the bits of ``e``."""
        return self.xor(g, self._and(e, self.xor(f, g)))

    def maj(self, a: ir.Value | int, b: ir.Value | int, c: ir.Value | int) -> ir.Value | int:
        """Majority; ``b ^ c`` is the last round's ``a ^ b``, so it costs three operations."""
        return self.xor(b, self._and(self.xor(a, b), self.xor(b, c)))

    def _and(self, x: ir.Value | int, y: ir.Value | int) -> ir.Value | int:
        if isinstance(x, int) and isinstance(y, int):
            return x & y
        return self._builder.and_(self.value(x), self.value(y))

    def _fold(
        self,
        fold: Callable[..., int],
        emit: Callable[[ir.Value, ir.Value], ir.Value],
        terms: tuple[ir.Value | int, ...],
    ) -> ir.Value | int:
        first, *rest = self._folded(fold, terms)
        return reduce(emit, map(self.value, rest), first)

    def _folded(
        self, fold: Callable[..., int], terms: tuple[ir.Value | int, ...]
    ) -> list[ir.Value | int]:
        """The values among the terms, then the one constant of the rest unless that is 0."""
        constant = fold(*(term for term in terms if isinstance(term, int)))
        values = [term for term in terms if not isinstance(term, int)]
        return [*values, constant] if constant or not values else values


class TernaryWords(LlvmWords):
    """Vectors of AVX-512, which computes any bitwise function of three operands at once."""

    _XOR, _CH, _MAJ = 0b10010110, 0b11001010, 0b11101000  # bit 4a + 2b + c is the function's value

    def xor(self, *terms: ir.Value | int) -> ir.Value | int:
        """Exclusive or, three terms at a time."""
        if sum(not isinstance(term, int) for term in terms) < 3:
            return super().xor(*terms)
        first, second, third, *rest = terms
        return self.xor(self.ternary(self._XOR, first, second, third), *rest)

    def ch(self, e: ir.Value | int, f: ir.Value | int, g: ir.Value | int) -> ir.Value | int:
        """Choose, by one instruction."""
        return self._one(super().ch, self._CH, e, f, g)

    def maj(self, a: ir.Value | int, b: ir.Value | int, c: ir.Value | int) -> ir.Value | int:
        """Majority, by one instruction."""
        return self._one(super().maj, self._MAJ, a, b, c)

    def ternary(self, table: int, *terms: ir.Value | int) -> ir.Value:
        """The bitwise function of three terms that a truth table of eight bits gives."""
        call = self._builder.module.declare_intrinsic(
            "llvm.x86.avx512.pternlog.d.512",
            (),
            ir.FunctionType(self._kind, [self._kind] * 3 + [I32]),
        )
        return self._builder.call(call, [*map(self.value, terms), I32(table)])

    def _one(
        self, fold: Callable[..., ir.Value | int], table: int, *terms: ir.Value | int
    ) -> ir.Value | int:
        if all(isinstance(term, int) for term in terms):
            return fold(*terms)
        return self.ternary(table, *terms)


class CudaWords(LlvmWords):
    """Registers of a GPU, whose ALU adds three at once; a lone add of two goes to the FMA pipe.

    ``one`` is 1, known at run time alone, so that no compiler turns the product into an add.
    """

    def __init__(self, builder: ir.IRBuilder, one: ir.Value) -> None:
        super().__init__(builder)
        self._one = one

    def add(self, *terms: ir.Value | int) -> ir.Value | int:
        """Sum modulo 2^32; of an even number of terms the last is added alone."""
        *others, last = self._folded(INTEGERS.add, terms)
        if len(others) % 2 == 0:
            return super().add(*terms)
        return self._multiply_add(self.value(last), reduce(self._builder.add, others))

    def add3(self, x: ir.Value | int, y: ir.Value | int, z: ir.Value | int) -> ir.Value | int:
        """Sum modulo 2^32 of three at once."""
        return self.add(x, y, z)

    def _multiply_add(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """``x + y`` in PTX, because the compiler would reassociate IR; in IR where no PTX is."""
        if not self._builder.module.triple.startswith("nvptx"):
            return self._builder.add(self._builder.mul(x, self._one), y)
        kind = ir.FunctionType(I32, [I32] * 3)
        code = "mad.lo.u32 $0, $1, $2, $3;"
        return self._builder.asm(kind, code, "=r,r,r,r", [x, self._one, y], side_effect=False)


def emit_last_word(builder: ir.IRBuilder, work: Sequence[ir.Value], nonce: ir.Value) -> ir.Value:
    """H7 for each lane of ``nonce``, of which the 19 words of ``work`` have the type."""
    return last_word(LlvmWords(builder, nonce.type), work, nonce)


def emit_compress(builder: ir.IRBuilder, ops: LlvmWords, chain: ir.Value, block: ir.Value) -> None:
    """Compress sixteen words at ``block`` into eight at ``chain``, both pointers to ``ops``'s."""

    def load(base: ir.Value, index: int) -> ir.Value:
        return builder.load(builder.gep(base, [I32(index)]), align=4)

    state = [load(chain, i) for i in range(8)]
    words = [load(block, i) for i in range(16)]
    for i, word in enumerate(compress(ops, state, words)):
        builder.store(word, builder.gep(chain, [I32(i)]), align=4)


def splat(builder: ir.IRBuilder, kind: ir.VectorType, scalar: ir.Value) -> ir.Value:
    """A vector whose every lane is ``scalar``."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, I32(0))
    lanes = ir.VectorType(I32, kind.count)
    return builder.shuffle_vector(first, undefined, ir.Constant(lanes, [0] * kind.count))
