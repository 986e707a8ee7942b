"""SHA-256d on processors that have SHA-256's own instructions: SHA-NI on x86, SHA2 on AArch64.

A register holds four 32-bit words, lane 0 first. The double hash is written once over ``Quads``;
loops and threads stop here. Source: FIPS 180-4; Intel SDM, SHA256RNDS2, SHA256MSG1, SHA256MSG2;
Arm ARM, SHA256H, SHA256H2, SHA256SU0, SHA256SU1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from llvmlite import ir

from .compression import INTEGERS, IV, K, one_round, small0, small1
from .lowering import I32

Four = tuple[int, ...]
Quad: TypeAlias = ir.Value | Four
"""A register's value, or the four ints that it will hold: constants fold before emission."""
State = tuple[Quad, Quad]

QUAD = ir.VectorType(I32, 4)
GROUPS = tuple(tuple(K[t : t + 4]) for t in range(0, 64, 4))
"""The round constants as they meet four schedule words at a time."""

# ---- Plain reference: the instructions on integers ----------------------------------------------


def _rounds(a_to_h: Sequence[int], sums: Sequence[int]) -> list[int]:
    now: list[int] = list(a_to_h)
    for each in sums:
        now = one_round(INTEGERS, now, each)
    return now


def _two_rounds(cdgh: Four, abef: Four, sums: Four) -> Four:
    (h, g, d, c), (f, e, b, a) = cdgh, abef
    now = _rounds([a, b, c, d, e, f, g, h], sums[:2])
    return now[5], now[4], now[1], now[0]


def _begin_words(x: Four, y: Four) -> Four:
    """W[t − 16] + σ0(W[t − 15]) for four t."""
    return tuple(INTEGERS.add(x[i], small0(INTEGERS, (*x, *y)[i + 1])) for i in range(4))


def _end_words(x: Four, y: Four) -> Four:
    """All the rest but σ1(W[t − 2]) is in ``x``; ``y`` holds the four words before."""
    w = [*y[2:]]
    for i in range(4):
        w.append(INTEGERS.add(x[i], small1(INTEGERS, w[i])))
    return tuple(w[2:])


def _end_words_arm(x: Four, y: Four, z: Four) -> Four:
    """``_end_words`` that adds W[t − 7] itself."""
    return _end_words(tuple(map(INTEGERS.add, x, (*y[1:], z[0]))), z)


INSTRUCTIONS: dict[str, Callable[..., Four]] = {
    "llvm.x86.sha256rnds2": _two_rounds,
    "llvm.x86.sha256msg1": _begin_words,
    "llvm.x86.sha256msg2": _end_words,
    "llvm.aarch64.crypto.sha256h": lambda x, y, sums: tuple(_rounds([*x, *y], sums)[:4]),
    "llvm.aarch64.crypto.sha256h2": lambda y, x, sums: tuple(_rounds([*x, *y], sums)[4:]),
    "llvm.aarch64.crypto.sha256su0": _begin_words,
    "llvm.aarch64.crypto.sha256su1": _end_words_arm,
}

# ---- Fast version -------------------------------------------------------------------------------


class Quads:
    """Registers of four words under ``builder``, which is asked only for what does not fold.

    A state is two registers; ``layout`` says which words of a … h they hold.
    """

    layout: tuple[Four, Four]
    begin_words: str

    def __init__(self, builder: ir.IRBuilder | None = None) -> None:
        self._builder = builder

    def four_rounds(self, state: State, sums: Quad) -> State:
        """The state after four rounds, of which ``sums`` are the K[t] + W[t]."""
        raise NotImplementedError

    def words(self, state: State) -> State:
        """The state as a … d and e … h."""
        raise NotImplementedError

    def next_words(self, w: Sequence[Quad]) -> Quad:
        """W[t] … W[t + 3] from the sixteen words before them."""
        raise NotImplementedError

    def e_of_round_60(self, state: State, sums: Quad) -> ir.Value | int:
        """The ``e`` that round 60 makes of the state before it."""
        raise NotImplementedError

    def laid_out(self, a_to_h: Sequence[int]) -> tuple[Four, Four]:
        """Eight words in the order of a state's two registers."""
        first, second = self.layout
        return tuple(a_to_h[i] for i in first), tuple(a_to_h[i] for i in second)

    def add(self, x: Quad, y: Quad) -> Quad:
        """Lane by lane, modulo 2^32."""
        if isinstance(x, tuple) and isinstance(y, tuple):
            return tuple(map(INTEGERS.add, x, y))
        if isinstance(x, tuple):
            x, y = y, x
        if y == (0, 0, 0, 0):
            return x
        return self._emit().add(x, quad_value(y))

    def shuffle(self, x: Quad, y: Quad, places: Four) -> Quad:
        """Four of the eight lanes of ``x`` and ``y``."""
        if isinstance(x, tuple) and isinstance(y, tuple):
            return tuple((*x, *y)[i] for i in places)
        return self._emit().shuffle_vector(quad_value(x), quad_value(y), ir.Constant(QUAD, places))

    def place(self, word: ir.Value | int, lanes: Sequence[int]) -> Quad:
        """The word in these lanes, zeros in the others."""
        if isinstance(word, int):
            return tuple(word if lane in lanes else 0 for lane in range(4))
        quad: ir.Value = ir.Constant(QUAD, [0] * 4)
        for lane in lanes:
            quad = self._emit().insert_element(quad, word, I32(lane))
        return quad

    def lane(self, x: Quad, lane: int) -> ir.Value | int:
        """One word."""
        if isinstance(x, tuple):
            return x[lane]
        return self._emit().extract_element(x, I32(lane))

    def call(self, name: str, *operands: Quad) -> Quad:
        """One of ``INSTRUCTIONS``."""
        if all(isinstance(operand, tuple) for operand in operands):
            return INSTRUCTIONS[name](*operands)
        kind = ir.FunctionType(QUAD, [QUAD] * len(operands))
        instruction = self._emit().module.declare_intrinsic(name, (), kind)
        return self._emit().call(instruction, [quad_value(operand) for operand in operands])

    def _emit(self) -> ir.IRBuilder:
        assert self._builder is not None, "without a builder every operand is a constant"
        return self._builder


class ShaNi(Quads):
    """x86: registers A B E F and C D G H, the first letter in the highest lane."""

    layout = ((5, 4, 1, 0), (7, 6, 3, 2))
    begin_words = "llvm.x86.sha256msg1"

    def four_rounds(self, state: State, sums: Quad) -> State:
        """Twice two rounds, which take their sums from the low half."""
        abef, cdgh = state
        middle = self.call("llvm.x86.sha256rnds2", cdgh, abef, sums)
        high = self.shuffle(sums, sums, (2, 3, 2, 3))
        return self.call("llvm.x86.sha256rnds2", abef, middle, high), middle

    def words(self, state: State) -> State:
        """One shuffle each."""
        return self.shuffle(*state, (3, 2, 7, 6)), self.shuffle(*state, (1, 0, 5, 4))

    def next_words(self, w: Sequence[Quad]) -> Quad:
        """The words from t − 7 on straddle two registers."""
        begun = self.call(self.begin_words, w[0], w[1])
        middle = self.add(begun, self.shuffle(w[2], w[3], (1, 2, 3, 4)))
        return self.call("llvm.x86.sha256msg2", middle, w[3])

    def e_of_round_60(self, state: State, sums: Quad) -> ir.Value | int:
        """It is f after round 61, whatever W61 is."""
        abef, cdgh = state
        return self.lane(self.call("llvm.x86.sha256rnds2", cdgh, abef, sums), 0)


class Sha2Arm(Quads):
    """AArch64: registers a b c d and e f g h, the first letter in the lowest lane."""

    layout = ((0, 1, 2, 3), (4, 5, 6, 7))
    begin_words = "llvm.aarch64.crypto.sha256su0"

    def four_rounds(self, state: State, sums: Quad) -> State:
        """One instruction for each half."""
        abcd, efgh = state
        return (
            self.call("llvm.aarch64.crypto.sha256h", abcd, efgh, sums),
            self.call("llvm.aarch64.crypto.sha256h2", efgh, abcd, sums),
        )

    def words(self, state: State) -> State:
        """As they are."""
        return state

    def next_words(self, w: Sequence[Quad]) -> Quad:
        """Two instructions."""
        begun = self.call(self.begin_words, w[0], w[1])
        return self.call("llvm.aarch64.crypto.sha256su1", begun, w[2], w[3])

    def e_of_round_60(self, state: State, sums: Quad) -> ir.Value | int:
        """It is h after round 63, whatever W61 … W63 are."""
        return self.lane(self.four_rounds(state, sums)[1], 3)


def quad_value(x: Quad) -> ir.Value:
    """The register as an IR value."""
    return ir.Constant(QUAD, x) if isinstance(x, tuple) else x


def first_words(tail: Sequence[int]) -> Four:
    """W16 … W19 of the nonce's block had the nonce word W3 been 0; ``tail`` is W16, W17, W2."""
    w16, w17, w2 = tail
    w18 = INTEGERS.add(w2, small1(INTEGERS, w16))
    w19 = INTEGERS.add(small0(INTEGERS, 0x80000000), small1(INTEGERS, w17))
    return w16, w17, w18, w19


def expanded_quads(quads: Quads, words: Quad, w3: ir.Value | int) -> list[Quad]:
    """The sums of rounds 4 … 63 of the nonce's block, the same for all siblings.

    ``words`` are ``first_words``, in which W3 is missing from W19 and σ0(W3) from W18.
    """
    nothing = (0, 0, 0, 0)
    nonce = quads.call(quads.begin_words, quads.place(w3, [3]), nothing)
    w: list[Quad] = [(0x80000000, 0, 0, 0), nothing, (0, 0, 0, 640), quads.add(words, nonce)]
    while len(w) < len(GROUPS) - 1:
        w.append(quads.next_words(w[-4:]))
    return [quads.add(each, group) for each, group in zip(w, GROUPS[1:], strict=True)]


def first_hashes(
    quads: Quads, works: Sequence[tuple[State, State]], w3: ir.Value | int, sums: Sequence[Quad]
) -> list[State]:
    """The first digests, as a … d and e … h, of siblings: (midstate, state after round 3) each."""
    added = [
        quads.place(w3, [lane for lane, word in enumerate(half) if word in {0, 4}])
        for half in quads.layout
    ]
    states = [_add_states(quads, state, (added[0], added[1])) for _, state in works]
    for each in sums:
        states = [quads.four_rounds(state, each) for state in states]
    return [
        quads.words(_add_states(quads, midstate, state))
        for (midstate, _), state in zip(works, states, strict=True)
    ]


def second_hashes(quads: Quads, digests: Sequence[State]) -> list[ir.Value | int]:
    """H7 of the double hash for each first digest, step by step side by side."""
    streams: list[list[Quad]] = [
        [*digest, (0x80000000, 0, 0, 0), (0, 0, 0, 256)] for digest in digests
    ]
    states: list[State] = [quads.laid_out(IV) for _ in digests]
    for group in GROUPS[:-1]:
        sums = [quads.add(w[0], group) for w in streams]
        states = [quads.four_rounds(*pair) for pair in zip(states, sums, strict=True)]
        streams = [[*w[1:], quads.next_words(w)] for w in streams]
    last = [quads.add(w[0], GROUPS[-1]) for w in streams]
    return [quads.e_of_round_60(*pair) for pair in zip(states, last, strict=True)]


def compress_quads(quads: Quads, chain: State, message: Sequence[Quad]) -> State:
    """FIPS 180-4's compression of sixteen words into a … d and e … h."""
    begun = quads.shuffle(*chain, quads.layout[0]), quads.shuffle(*chain, quads.layout[1])
    state, w = begun, list(message)
    for group in GROUPS:
        state = quads.four_rounds(state, quads.add(w[0], group))
        w = [*w[1:], quads.next_words(w)]
    return quads.words(_add_states(quads, begun, state))


def _add_states(quads: Quads, x: State, y: State) -> State:
    return quads.add(x[0], y[0]), quads.add(x[1], y[1])
