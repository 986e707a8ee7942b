"""SHA-256's compression, written once over any kind of 32-bit word.

Host integers, LLVM vectors and CUDA registers all run the rounds of this module; what a word is
and how it is added or rotated stops at ``Words``. Source: FIPS 180-4, sections 4.1.2 to 6.2.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

Word = TypeVar("Word")

IV = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)  # fmt: skip
K = (
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
)  # fmt: skip


class Words(Protocol[Word]):
    """32-bit arithmetic modulo 2^32. An operand may also be a plain int: a constant."""

    def add(self, *terms: Word | int) -> Word | int:
        """Sum of the terms."""

    def add3(self, x: Word | int, y: Word | int, z: Word | int) -> Word | int:
        """Sum of three, ``y`` and ``z`` first where only two are added at once."""

    def xor(self, *terms: Word | int) -> Word | int:
        """Exclusive or of the terms."""

    def rotr(self, x: Word | int, n: int) -> Word | int:
        """Rotate right by ``0 < n < 32``."""

    def shr(self, x: Word | int, n: int) -> Word | int:
        """Shift right, zeros in."""

    def swap(self, x: Word | int) -> Word | int:
        """Reverse the four bytes."""

    def ch(self, e: Word | int, f: Word | int, g: Word | int) -> Word | int:
        """``f`` where ``e`` has a one, else ``g``."""

    def maj(self, a: Word | int, b: Word | int, c: Word | int) -> Word | int:
        """Bitwise majority."""


class Integers:
    """Words that are Python ints in 0 .. 2^32 − 1: the plain reference."""

    def add(self, *terms: int) -> int:
        """Sum modulo 2^32."""
        return sum(terms) & 0xFFFFFFFF

    def add3(self, x: int, y: int, z: int) -> int:
        """Sum of three modulo 2^32."""
        return self.add(x, y, z)

    def xor(self, *terms: int) -> int:
        """Exclusive or."""
        total = 0
        for term in terms:
            total ^= term
        return total

    def rotr(self, x: int, n: int) -> int:
        """Rotate right."""
        return (x >> n | x << (32 - n)) & 0xFFFFFFFF

    def shr(self, x: int, n: int) -> int:
        """Shift right."""
        return x >> n

    def swap(self, x: int) -> int:
        """Reverse the four bytes."""
        return int.from_bytes(x.to_bytes(4, "little"), "big")

    def ch(self, e: int, f: int, g: int) -> int:
        """Choose by the bits of ``e``."""
        return g ^ (e & (f ^ g))

    def maj(self, a: int, b: int, c: int) -> int:
        """Majority of three."""
        return (a & b) | (c & (a | b))


INTEGERS = Integers()


def small0(ops: Words[Word], x: Word | int) -> Word | int:
    """σ0 of the schedule."""
    return ops.xor(ops.rotr(x, 7), ops.rotr(x, 18), ops.shr(x, 3))


def small1(ops: Words[Word], x: Word | int) -> Word | int:
    """σ1 of the schedule."""
    return ops.xor(ops.rotr(x, 17), ops.rotr(x, 19), ops.shr(x, 10))


def schedule_word(ops: Words[Word], w: list[Word | int], t: int) -> Word | int:
    """W[t] from the sixteen words before it, kept in a ring."""
    far, near = small0(ops, w[(t - 15) % 16]), small1(ops, w[(t - 2) % 16])
    return ops.add(w[t % 16], far, w[(t - 7) % 16], near)


def one_round(
    ops: Words[Word], state: Sequence[Word | int], *addends: Word | int
) -> list[Word | int]:
    """The next state (a … h); ``addends`` are K[t] and W[t], or their sum."""
    a, b, c, d, e, f, g, h = state
    big1 = ops.xor(ops.rotr(e, 6), ops.rotr(e, 11), ops.rotr(e, 25))
    big0 = ops.xor(ops.rotr(a, 2), ops.rotr(a, 13), ops.rotr(a, 22))
    t1 = ops.add(h, *addends, ops.ch(e, f, g), big1)
    return [ops.add3(t1, big0, ops.maj(a, b, c)), a, b, c, ops.add(d, t1), e, f, g]


def rounds(
    ops: Words[Word],
    state: Sequence[Word | int],
    block: Sequence[Word | int],
    first: int,
    last: int,
    *,
    known: int = 16,
) -> list[Word | int]:
    """Run rounds ``first .. last − 1`` of one block on ``state`` (a … h) and return the new state.

    ``block`` is the ring of sixteen schedule words in which slot ``t % 16`` holds W[t] for every
    ``t < known``; later words are computed.
    """
    now = list(state)
    w = list(block)
    for t in range(first, last):
        if t >= known:
            w[t % 16] = schedule_word(ops, w, t)
        now = one_round(ops, now, K[t], w[t % 16])
    return now


def compress(
    ops: Words[Word], state: Sequence[Word | int], block: Sequence[Word | int]
) -> list[Word | int]:
    """FIPS 180-4's compression of one 16-word block into the 8-word chaining value."""
    after = rounds(ops, state, block, 0, 64)
    return [ops.add(x, y) for x, y in zip(state, after, strict=True)]


def last_word(ops: Words[Word], work: Sequence[Word | int], nonce: Word | int) -> Word | int:
    """H7 of SHA-256d for one nonce: the digest's last word, whose bytes lead the display hash.

    ``work`` is ``header.prepare_work``'s 19 words: midstate, state, tail.
    """
    block = tail_block(ops, work[16:], nonce)
    begun = add_nonce(ops, work[8:16], block[3])
    after: list[Word | int] = rounds(ops, begun, block, 4, 64, known=18)
    return second_hash(ops, work[:8], after)


def expanded(ops: Words[Word], tail: Sequence[Word | int], nonce: Word | int) -> list[Word | int]:
    """K[t] + W[t] of rounds 4 … 63 of the block with the nonce, the same for all siblings."""
    ring = tail_block(ops, tail, nonce)
    sums = []
    for t in range(4, 64):
        if t >= 18:
            ring[t % 16] = schedule_word(ops, ring, t)
        sums.append(ops.add(K[t], ring[t % 16]))
    return sums


def last_word_expanded(
    ops: Words[Word], work: Sequence[Word | int], w3: Word | int, sums: Iterable[Word | int]
) -> Word | int:
    """``last_word`` for one of the siblings that share ``sums``, which ``expanded`` made."""
    now = add_nonce(ops, work[8:16], w3)
    for each in sums:
        now = one_round(ops, now, each)
    return second_hash(ops, work[:8], now)


def tail_block(ops: Words[Word], tail: Sequence[Word | int], nonce: Word | int) -> list[Word | int]:
    """The second block of the first hash as a ring in which W0 and W1 have made way for W16, W17.

    The header holds the nonce little-endian, SHA-256 reads big-endian.
    """
    return [*tail, ops.swap(nonce), 0x80000000, *[0] * 10, 640]


def add_nonce(ops: Words[Word], state: Sequence[Word | int], w3: Word | int) -> list[Word | int]:
    """The state after round 3, of which W3 is only ever added, to a and e."""
    a, b, c, d, e, f, g, h = state
    return [ops.add(a, w3), b, c, d, ops.add(e, w3), f, g, h]


def second_hash(
    ops: Words[Word], midstate: Sequence[Word | int], after: Sequence[Word | int]
) -> Word | int:
    """H7 from what the first hash's last round left.

    H7 = e + IV7 after round 60, because three more rounds only move that ``e`` to ``h``; the rest
    is never computed.
    """
    digest = [ops.add(x, y) for x, y in zip(midstate, after, strict=True)]
    second = rounds(ops, IV, [*digest, 0x80000000, *[0] * 6, 256], 0, 61)
    return ops.add(second[4], IV[7])


def message_blocks(message: bytes) -> list[tuple[int, ...]]:
    """The padded message as blocks of sixteen big-endian words (FIPS 180-4, 5.1.1 and 5.2.1)."""
    zeros = (55 - len(message)) % 64
    padded = message + b"\x80" + bytes(zeros) + struct.pack(">Q", 8 * len(message))
    return list(struct.iter_unpack(">16I", padded))
