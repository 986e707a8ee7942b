"""SHA-256's own instructions, both sets, on integers: the code that emits them folds."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.kernels.sha256d import header as h
from bench.kernels.sha256d import sha_extension
from bench.kernels.sha256d.compression import INTEGERS, IV, message_blocks
from bench.kernels.sha256d.real_headers import REAL_HEADERS
from bench.kernels.sha256d.sha_extension import (
    Quads,
    Sha2Arm,
    ShaNi,
    compress_quads,
    expanded_quads,
    first_hashes,
    first_words,
    second_hashes,
)

SETS = pytest.mark.parametrize("kind", [ShaNi, Sha2Arm])


def _h7(quads: Quads, headers: list[bytes], nonce: int) -> list[int]:
    works = [h.prepare_work(raw) for raw in headers]
    w3 = INTEGERS.swap(nonce)
    sums = expanded_quads(quads, first_words(works[0][16:]), w3)
    states = [(quads.laid_out(work[:8]), quads.laid_out(work[8:16])) for work in works]
    words = second_hashes(quads, first_hashes(quads, states, w3, sums))
    return [INTEGERS.add(word, IV[7]) for word in words]


def _digest(quads: Quads, message: bytes) -> bytes:
    chain: sha_extension.State = (IV[:4], IV[4:])
    for block in message_blocks(message):
        chain = compress_quads(quads, chain, [block[i : i + 4] for i in range(0, 16, 4)])
    return struct.pack(">8I", *chain[0], *chain[1])


@SETS
@settings(max_examples=30, deadline=None)
@given(raw=st.binary(min_size=76, max_size=76), nonce=st.integers(0, h.NONCES - 1))
def test_the_double_hash_is_hashlibs(kind: type[Quads], raw: bytes, nonce: int) -> None:
    family = h.siblings(raw, 3)
    digests = [h.sha256d(h.with_nonce(one, nonce)) for one in family]
    assert _h7(kind(), family, nonce) == [int.from_bytes(d[28:], "big") for d in digests]


@SETS
def test_published_vectors(kind: type[Quads], nist_short: list[tuple[bytes, str]]) -> None:
    for message, digest in nist_short:
        assert _digest(kind(), message).hex() == digest


@SETS
@pytest.mark.parametrize("t", range(64))
def test_a_wrong_constant_is_seen(
    monkeypatch: pytest.MonkeyPatch, kind: type[Quads], t: int
) -> None:
    """Of the second hash by a real header, or by a message where that has no use for it."""
    groups = [list(group) for group in sha_extension.GROUPS]
    groups[t // 4][t % 4] ^= 1 << t % 32
    monkeypatch.setattr(sha_extension, "GROUPS", tuple(map(tuple, groups)))
    if t <= 60:
        raw = REAL_HEADERS[3]
        assert _h7(kind(), [raw], h.Header.parse(raw).nonce) != [0]
    else:
        assert _digest(kind(), b"abc") != hashlib.sha256(b"abc").digest()
